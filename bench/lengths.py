"""Length distributions of real data, as counts: made once from the data, kept in lengths.json.

    python -m bench.lengths DATA_DIRECTORY

reads training files of SNLI (snli: premise, hypothesis), of ACL Anthology papers (acl: title,
abstract) and of tldr-pages (tldr: description, command), and rewrites lengths.json.
"""

import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from o2v_jax.ragged import Ragged, offsets_of

FILE = Path(__file__).with_name("lengths.json")
LONGEST = 500

Histograms = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def histograms(name: str) -> Histograms:
    """For each side how many sequences there are of every length, int64 `[longest + 1]`."""
    sides = json.loads(FILE.read_text())[name]
    return _dense(sides["in0"]), _dense(sides["in1"])


def names() -> list[str]:
    """The distributions there are."""
    return list(json.loads(FILE.read_text()))


def draw(counts: npt.NDArray[np.int64], rows: int, vocab_size: int, seed: int) -> Ragged:
    """Random token ids in sequences whose lengths follow `counts`."""
    rng = np.random.default_rng(seed)
    lengths = rng.choice(len(counts), rows, p=counts / counts.sum())
    ids = rng.integers(1, vocab_size, lengths.sum()).astype(np.int32)
    return Ragged(ids, offsets_of(lengths))


def _dense(sparse: dict[str, int]) -> npt.NDArray[np.int64]:
    counts = np.zeros(max(map(int, sparse)) + 1, np.int64)
    for length, count in sparse.items():
        counts[int(length)] = count
    return counts


def _pairs(data: Path) -> Iterator[tuple[str, str, str]]:
    """(distribution, text of side 0, text of side 1) of every training row."""
    for line in _lines(data / "snli" / "train.tsv.gz"):
        yield "snli", line[1], line[2]
    for line in _lines(data / "retrieval-tldr" / "train.tsv.gz"):
        yield "tldr", line[1], line[2]
    for line in _lines(data / "retrieval-acl" / "train.tsv.gz"):
        yield "acl", line[2], " ".join(line[3:])


def _lines(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n").split("\t")


def main(data: Path) -> None:
    """Counts and writes."""
    counted: dict[str, dict[str, Counter[int]]] = {}
    for name, *texts in _pairs(data):
        sides = counted.setdefault(name, {"in0": Counter(), "in1": Counter()})
        for side, text in zip(sides.values(), texts, strict=True):
            side[min(len(text.split()), LONGEST)] += 1
    sparse = {
        name: {side: dict(sorted(counts.items())) for side, counts in sides.items()}
        for name, sides in counted.items()
    }
    FILE.write_text(json.dumps(sparse) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
