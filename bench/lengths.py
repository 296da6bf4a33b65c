"""The data of all benchmarks: pairs of random ids whose lengths follow a distribution.

snli (premise, hypothesis), acl (title, abstract of papers of the ACL Anthology) and tldr
(description, command of tldr-pages) are real: counted once from the data, kept in lengths.json.

    python -m bench.lengths DATA_DIRECTORY

reads their training files and rewrites lengths.json. The others are made: lognormal has a median of
20 tokens and a tail to 500, single has one token a side (users and items), and one_against_1000 is
one premise beside a thousand hypotheses at a time.
"""

import gzip
import json
import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from o2v_jax.data.ragged import Ragged, offsets_of

FILE = Path(__file__).with_name("lengths.json")
LONGEST = 500
ITEMS = 1000  # beside one user
ONE = "one_against_1000"

Histogram = npt.NDArray[np.int64]
Histograms = tuple[Histogram, Histogram]


def read_histograms(name: str) -> Histograms:
    """For each side how many sequences there are of every length, int64 `[longest + 1]`."""
    if name == "lognormal":
        return make_lognormal(), make_lognormal()
    if name == "single":
        return np.array([0, 1]), np.array([0, 1])
    sides = json.loads(FILE.read_text())["snli" if name == ONE else name]
    return _make_dense(sides["in0"]), _make_dense(sides["in1"])


def list_names() -> list[str]:
    """The distributions there are."""
    return [*json.loads(FILE.read_text()), "lognormal", "single", ONE]


def draw_pairs(name: str, records: int, vocab_size: int, seed: int = 0) -> tuple[Ragged, Ragged]:
    """Records of a distribution; of one_against_1000 there are `ITEMS` for each user."""
    counts0, counts1 = read_histograms(name)
    if name != ONE:
        one = draw(counts0, records, vocab_size, seed)
        return one, draw(counts1, records, vocab_size, seed + 1)
    users = draw(counts0, -(-records // ITEMS), vocab_size, seed)
    return users.take(np.arange(records) // ITEMS), draw(counts1, records, vocab_size, seed + 1)


def make_lognormal(median: float = 20.0, sigma: float = 1.0) -> Histogram:
    """Counts of a million lengths; those above `LONGEST` are cut to it."""
    edges = np.log(np.arange(1, LONGEST) + 0.5) - np.log(median)
    below = [0.5 * (1 + math.erf(edge / sigma / math.sqrt(2))) for edge in edges]
    share = np.diff([0.0, *below, 1.0])
    return np.concatenate([[0], np.round(1e6 * share)]).astype(np.int64)


def draw(counts: Histogram, rows: int, vocab_size: int, seed: int) -> Ragged:
    """Random token ids in sequences whose lengths follow `counts`."""
    rng = np.random.default_rng(seed)
    lengths = rng.choice(len(counts), rows, p=counts / counts.sum())
    ids = rng.integers(1, vocab_size, lengths.sum()).astype(np.int32)
    return Ragged(ids, offsets_of(lengths))


def _make_dense(sparse: dict[str, int]) -> Histogram:
    counts = np.zeros(max(map(int, sparse)) + 1, np.int64)
    for length, count in sparse.items():
        counts[int(length)] = count
    return counts


def _read_pairs(data: Path) -> Iterator[tuple[str, str, str]]:
    """(distribution, text of side 0, text of side 1) of every training row."""
    for line in _read_lines(data / "snli" / "train.tsv.gz"):
        yield "snli", line[1], line[2]
    for line in _read_lines(data / "retrieval-tldr" / "train.tsv.gz"):
        yield "tldr", line[1], line[2]
    for line in _read_lines(data / "retrieval-acl" / "train.tsv.gz"):
        yield "acl", line[2], " ".join(line[3:])


def _read_lines(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n").split("\t")


def main(data: Path) -> None:
    """Counts and writes."""
    counted: dict[str, dict[str, Counter[int]]] = {}
    for name, *texts in _read_pairs(data):
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
