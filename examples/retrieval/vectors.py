"""Initial token vectors: GloVe's beside random ones, the longer the rarer a token is.

    python examples/retrieval/vectors.py DATA GLOVE AUXILIARY

DATA is the folder that o2v prepare wrote, GLOVE a file of word vectors in GloVe's text layout,
gzipped. Into AUXILIARY go vocab.json and vectors.txt.gz, vectors of DIM numbers.

The mean of such vectors starts where TF-IDF does: a token's length is its inverse document
frequency in the texts of in1, and random directions tell all tokens apart. GloVe's directions say
which tokens are alike; without them, a model learns it from these pairs alone.
"""

import gzip
import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

DIM = 512
SHARE = 0.7  # of a vector's length that is GloVe's
LENGTH = 2.26  # of the vector of a token of mean inverse document frequency

Vectors = npt.NDArray[np.float32]


def count_documents(file: Path) -> tuple[Counter[int], int]:
    """In how many in1 each token id occurs, and how many there are."""
    counts: Counter[int] = Counter()
    documents = 0
    with file.open() as lines:
        for line in lines:
            counts.update(set(json.loads(line)["in1"]))
            documents += 1
    return counts, documents


def read_glove(file: Path, tokens: dict[str, int], rows: int) -> Vectors:
    """Centred vectors of length 1, `[rows, their numbers]`; zeros for tokens that have none."""
    found: dict[int, Vectors] = {}
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            word, _, numbers = line.partition(" ")
            if word in tokens:
                found[tokens[word]] = np.array(numbers.split(), np.float32)
    vectors = np.zeros((rows, len(next(iter(found.values())))), np.float32)
    there = np.array([*found])
    vectors[there] = np.stack([*found.values()])
    vectors[there] -= vectors[there].mean(axis=0)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def make_vectors(data: Path, glove: Path, tokens: dict[str, int]) -> Vectors:
    """Vectors `[ids, DIM]`."""
    rows = max(tokens.values()) + 1
    counts, documents = count_documents(data / "train.jsonl")
    rarity = np.log((documents + 1) / (np.array([counts[row] for row in range(rows)]) + 1))
    known = read_glove(glove, tokens, rows)
    free = DIM - known.shape[1]
    random = np.random.default_rng(0).normal(size=(rows, free)) / np.sqrt(free)
    directions = np.hstack([SHARE * known, np.sqrt(1 - SHARE**2) * random])
    lengths = LENGTH * rarity / rarity[1:].mean()
    return np.asarray(directions * lengths[:, None], np.float32)


def main(data: Path, glove: Path, auxiliary: Path) -> None:
    """Writes the vectors of every token."""
    auxiliary.mkdir(parents=True, exist_ok=True)
    shutil.copy(data / "vocab.json", auxiliary)
    tokens: dict[str, int] = json.loads((data / "vocab.json").read_bytes())
    vectors = make_vectors(data, glove, tokens)
    with gzip.open(auxiliary / "vectors.txt.gz", "wt", encoding="utf-8", compresslevel=1) as file:
        for token, row in tokens.items():
            if row:  # 0 is padding
                numbers = " ".join(f"{number:.5g}" for number in vectors[row])
                file.write(f"{token} {numbers}\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
