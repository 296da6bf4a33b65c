"""Papers -> pairs to match: a title and its abstract, a sentence and the rest of its abstract.

    python examples/retrieval/papers.py RAW PAIRS

RAW holds {train,dev,test}.tsv.gz, a paper a line: id, year, title, sentence, sentence, ... (tokens
separated by blanks). Into PAIRS go tables of two texts that belong together: train.tsv with all
pairs of both kinds; {dev,test}-{title,sentence}.tsv with one pair a paper, of a sentence drawn at
random from seed 0; and {dev,test}.tsv, those of both kinds. documents.jsonl holds the abstract of
every paper beside its title and id, for an index.
"""

import gzip
import json
import random
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

Pair = tuple[str, str]


def papers(file: Path) -> Iterator[tuple[str, list[str]]]:
    """Title and sentences of every paper."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            _, _, title, *sentences = line.rstrip("\n").split("\t")
            yield title, sentences


def describe_papers(file: Path) -> Iterator[dict[str, str]]:
    """Title with id, and abstract, of every paper."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            number, _, title, *sentences = line.rstrip("\n").split("\t")
            yield {"name": f"{title} [{number}]", "text": " ".join(sentences)}


def titles(file: Path) -> Iterator[Pair]:
    """Every title with its abstract."""
    return ((title, " ".join(sentences)) for title, sentences in papers(file))


def sentences(file: Path) -> Iterator[list[Pair]]:
    """For every abstract of at least two sentences, each of them with the rest."""
    for _, parts in papers(file):
        if len(parts) > 1:
            yield [(part, " ".join(parts[:k] + parts[k + 1 :])) for k, part in enumerate(parts)]


def write(file: Path, pairs: Iterable[Pair]) -> None:
    """A table of pairs."""
    file.write_text("".join(f"{one}\t{two}\n" for one, two in pairs), encoding="utf-8")


def main(raw: Path, out: Path) -> None:
    """Writes all tables."""
    out.mkdir(parents=True, exist_ok=True)
    train = raw / "train.tsv.gz"
    write(
        out / "train.tsv", [*titles(train), *(pair for each in sentences(train) for pair in each)]
    )
    with (out / "documents.jsonl").open("w", encoding="utf-8") as lines:
        for part in ("train", "dev", "test"):
            for paper in describe_papers(raw / f"{part}.tsv.gz"):
                lines.write(json.dumps(paper, ensure_ascii=False) + "\n")
    draw = random.Random(0)
    for part in ("dev", "test"):
        file = raw / f"{part}.tsv.gz"
        kinds = {"title": list(titles(file)), "sentence": [*map(draw.choice, sentences(file))]}
        for kind, pairs in kinds.items():
            write(out / f"{part}-{kind}.tsv", pairs)
        write(out / f"{part}.tsv", [pair for pairs in kinds.values() for pair in pairs])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
