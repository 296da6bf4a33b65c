"""Ratings -> what a user likes, and one more film that the user likes.

    python examples/recommendation/films.py RAW WORK

RAW holds ratings.csv.gz and movies.csv.gz of MovieLens. A user likes what got LIKED stars or more.
Of the liked films of each user with at least LEAST, a fifth is drawn for test and a tenth for
validation, at random from seed 0; the rest is the history. Into WORK go

- films.jsonl: the title of every film that is in a history;
- train.jsonl: DRAWS times a part of each history, drawn at random, with each film of the rest;
- validation.jsonl: each film that was drawn for it, with up to LONGEST films of the history;
- users.jsonl: the history of each user, and the films that were drawn for test.

Films that are in no history are left out everywhere: nothing can be learnt about them.
"""

import csv
import gzip
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

LIKED = 4.0
LEAST = 5
LONGEST = 100
DRAWS = 8
SHARE = 0.7  # of a history that is in the part


class User(NamedTuple):
    """Titles of the films that a user likes."""

    history: list[str]
    validation: list[str]
    test: list[str]


def read(file: Path) -> Iterator[dict[str, str]]:
    """Rows of a gzipped CSV file."""
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def read_titles(file: Path) -> dict[str, str]:
    """The title of each film, by its number; with the number if several films have one title."""
    titles = {row["movieId"]: row["title"].strip() for row in read(file)}
    counts = Counter(titles.values())
    return {
        number: title if counts[title] == 1 else f"{title} #{number}"
        for number, title in titles.items()
    }


def read_users(raw: Path, draw: random.Random) -> list[User]:
    """All users who like enough, without films that are in no history."""
    titles = read_titles(raw / "movies.csv.gz")
    liked: dict[str, list[str]] = defaultdict(list)
    for row in read(raw / "ratings.csv.gz"):
        if float(row["rating"]) >= LIKED:
            liked[row["userId"]].append(titles[row["movieId"]])
    users = [split(films, draw) for films in liked.values() if len(films) >= LEAST]
    there = {film for user in users for film in user.history}
    return [
        User(user.history, *([film for film in part if film in there] for part in user[1:]))
        for user in users
    ]


def split(films: list[str], draw: random.Random) -> User:
    """A fifth for test, a tenth for validation, of each at least one."""
    films = draw.sample(films, len(films))
    test, validation = max(1, len(films) // 5), max(1, len(films) // 10)
    return User(films[test + validation :], films[test : test + validation], films[:test])


def draw_pairs(history: list[str], draw: random.Random) -> Iterator[dict[str, object]]:
    """A part of a history with each film of the rest, none of which is so another's negative."""
    films = draw.sample(history, len(history))
    count = max(1, round(SHARE * len(films)))
    return ({"liked": films[:count][:LONGEST], "film": film} for film in films[count:])


def write(file: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """JSON Lines."""
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main(raw: Path, work: Path) -> None:
    """Writes all tables."""
    work.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    users = read_users(raw, draw)
    films = sorted({film for user in users for film in user.history})
    write(work / "films.jsonl", ({"film": film} for film in films))
    drawn = (draw_pairs(user.history, draw) for user in users for _ in range(DRAWS))
    write(work / "train.jsonl", (pair for pairs in drawn for pair in pairs))
    validation = (
        {"liked": user.history[:LONGEST], "film": film}
        for user in users for film in user.validation
    )
    write(work / "validation.jsonl", validation)
    write(work / "users.jsonl", ({"history": u.history, "test": u.test} for u in users if u.test))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
