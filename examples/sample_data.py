"""Small made-up data for the tutorials and guides, which a model learns in seconds.

python examples/sample_data.py pairs PAIRS.tsv
python examples/sample_data.py ratings RATINGS.csv
python examples/sample_data.py documents DOCUMENTS.tsv
python examples/sample_data.py records RECORDS.jsonl
"""

import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

WHO = ("man", "woman", "boy", "girl", "child", "chef", "doctor", "student", "farmer", "singer")
DOING = ("sleeping", "running", "cooking", "reading", "singing", "swimming", "dancing", "waiting")
TOPICS = {
    "parsing": "tree grammar parser syntax head constituent treebank dependency",
    "translation": "source target translation decoder alignment bilingual corpus phrase",
    "speech": "audio speech acoustic recognition phoneme speaker signal transcript",
    "sentiment": "opinion review sentiment polarity product rating emotion aspect",
}


def pairs(draw: random.Random) -> Iterator[Sequence[str]]:
    """Sentence pairs of three classes, with a header."""
    yield "label", "premise", "hypothesis"
    rows = [row for who, doing in product(WHO, DOING) for row in _pairs_of(who, doing, draw)]
    draw.shuffle(rows)
    yield from rows


def _pairs_of(who: str, doing: str, draw: random.Random) -> list[tuple[str, str, str]]:
    premise, other = f"A {who} is {doing}.", draw.choice([word for word in DOING if word != doing])
    return [
        ("entailment", premise, f"Somebody is {doing}."),
        ("neutral", premise, f"The {who} likes {other}."),
        ("contradiction", premise, f"Nobody is {doing}."),
        ("contradiction", premise, f"The {who} is not {doing}."),
    ]


def ratings(draw: random.Random) -> Iterator[Sequence[str]]:
    """What 60 users think of 40 films, 0.5 to 5, with a header: half of all pairs."""
    yield "userId", "movieId", "rating"
    users = [[draw.gauss(0, 1), draw.gauss(0, 0.5)] for _ in range(60)]
    films = [[draw.gauss(0, 1), draw.gauss(0, 0.5)] for _ in range(40)]
    for (user, (taste, mood)), (film, (kind, quality)) in product(
        enumerate(users), enumerate(films)
    ):
        if draw.random() < 0.5:  # noqa: PLR2004
            rating = 3 + taste * kind + mood + quality + draw.gauss(0, 0.2)
            yield f"u{user}", f"m{film}", str(min(5.0, max(0.5, round(2 * rating) / 2)))


def documents(draw: random.Random) -> Iterator[Sequence[str]]:
    """Titles and abstracts of 200 papers, each of one topic and with a term of its own."""
    yield "title", "abstract"
    for number in range(200):
        words = TOPICS[draw.choice(list(TOPICS))].split()
        term = f"method{number % 50}"
        title = [term, *draw.sample(words, 3)]
        abstract = [*draw.choices(words, k=12), term, *draw.choices(words, k=4)]
        yield " ".join(title), " ".join(abstract)


def records(draw: random.Random) -> Iterator[Sequence[str]]:
    """200 records of token ids below 40 as JSON Lines, of three classes by the first id of in0."""
    for _ in range(200):
        in0, in1 = ([draw.randrange(2, 40) for _ in range(draw.randrange(1, 9))] for _ in "01")
        yield (json.dumps({"label": in0[0] % 3, "in0": in0, "in1": in1}),)


TABLES: dict[str, Callable[[random.Random], Iterator[Sequence[str]]]] = {
    "pairs": pairs,
    "ratings": ratings,
    "documents": documents,
    "records": records,
}


def write(name: str, file: Path) -> None:
    """Writes a table: comma-separated if the file's name ends so, else tab-separated."""
    separator = "," if file.suffix == ".csv" else "\t"
    rows = TABLES[name](random.Random(0))
    file.write_text("".join(separator.join(row) + "\n" for row in rows))


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
