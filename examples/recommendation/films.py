"""Ratings -> films that a user likes, and one more of them.

    python examples/recommendation/films.py RAW WORK

RAW holds ratings.csv.gz and movies.csv.gz of MovieLens. A user likes what got LIKED stars or more.
Of the liked films of each user with at least LEAST, a fifth is drawn for test and a tenth for
validation, at random from seed 0; the rest is the history. Into WORK go

- films.jsonl: for every film that is in a history its title, and what describes it: title,
  genres, decade;
- train.jsonl: for each user DRAWS times up to FILMS films of the history, drawn at random, each
  with up to LONGEST others;
- validation.jsonl: each film that was drawn for it, with the history;
- users.jsonl: for each user the three parts.

Films that are in no history are left out everywhere. FILMS limits the weight of those who have seen
very much.
"""

import csv
import gzip
import json
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

LIKED = 4.0
LEAST = 5
DRAWS, FILMS, LONGEST = 8, 50, 20
_DECADE = re.compile(r"\((\d{3})\d\)")

Descriptions = Mapping[str, list[str]]


class User(NamedTuple):
    """Titles of the films that a user likes."""

    history: list[str]
    validation: list[str]
    test: list[str]


def read(file: Path) -> Iterator[dict[str, str]]:
    """Rows of a gzipped CSV file."""
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def read_films(file: Path) -> tuple[dict[str, str], Descriptions]:
    """The title of each film by its number, and what describes each title.

    A title that several films have gets the number too.
    """
    films = list(read(file))
    counts = Counter(film["title"].strip() for film in films)
    titles, descriptions = {}, {}
    for film in films:
        title = film["title"].strip()
        decades = [f"{decade}0s" for decade in _DECADE.findall(title)]
        if counts[title] > 1:
            title = f"{title} #{film['movieId']}"
        titles[film["movieId"]] = title
        descriptions[title] = [title, *film["genres"].split("|"), *decades]
    return titles, descriptions


def read_users(file: Path, titles: Mapping[str, str], draw: random.Random) -> list[User]:
    """All users who like enough, without films that are in no history."""
    liked: dict[str, list[str]] = defaultdict(list)
    for row in read(file):
        if float(row["rating"]) >= LIKED:
            liked[row["userId"]].append(titles[row["movieId"]])
    users = [split(films, draw) for films in liked.values() if len(films) >= LEAST]
    there = {film for user in users for film in user.history}
    return [User(*([film for film in part if film in there] for part in user)) for user in users]


def split(films: list[str], draw: random.Random) -> User:
    """A fifth for test, a tenth for validation, of each at least one."""
    films = draw.sample(films, len(films))
    test, validation = max(1, len(films) // 5), max(1, len(films) // 10)
    return User(films[test + validation :], films[test : test + validation], films[:test])


def draw_pairs(history: list[str], draw: random.Random) -> Iterator[tuple[list[str], str]]:
    """Some films of a history, each with some of the others."""
    for film in draw.sample(history, min(len(history), FILMS)):
        others = [other for other in history if other != film]
        if others:
            yield draw.sample(others, min(len(others), LONGEST)), film


def write(file: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """JSON Lines."""
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main(raw: Path, work: Path) -> None:
    """Writes all tables."""
    work.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    titles, described = read_films(raw / "movies.csv.gz")
    users = read_users(raw / "ratings.csv.gz", titles, draw)
    films = sorted({film for user in users for film in user.history})
    write(work / "films.jsonl", ({"title": film, "film": described[film]} for film in films))
    drawn = (
        pair for user in users for _ in range(DRAWS) for pair in draw_pairs(user.history, draw)
    )
    write(work / "train.jsonl", ({"liked": some, "film": described[one]} for some, one in drawn))
    held = ((user.history, film) for user in users for film in user.validation)
    write(work / "validation.jsonl", ({"liked": h, "film": described[one]} for h, one in held))
    write(work / "users.jsonl", (user._asdict() for user in users))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
