"""Semantic textual similarity: Pearson of human scores with the cosine of two encodings.

    python examples/similarity/sts.py WORK FILE...

WORK is what run.sh made: its model stands beside the mean of the weighted vectors that training
began with. FILE holds lines of score, sentence and sentence, separated by tabs.
"""

import gzip
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from words import split

import o2v_jax

Vectors = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]


def pearson(encode: Encode, file: Path) -> float:
    """Correlation over the pairs of a file."""
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    one, two = (encode([row[column] for row in rows]) for column in (1, 2))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    cosines = (one * two).sum(axis=1) / np.maximum(norms, 1e-12)
    return float(np.corrcoef([float(row[0]) for row in rows], cosines)[0, 1])


def encode_by_model(work: Path) -> Encode:
    """The trained model."""
    scorer = o2v_jax.Scorer(o2v_jax.load(work / "model"))
    return lambda texts: scorer.embed(in1=[" ".join(split(text)) for text in texts])


def encode_by_mean(work: Path) -> Encode:
    """The mean of the vectors before training."""
    vectors: dict[str, Vectors] = {}
    with gzip.open(work / "auxiliary" / "vectors.txt.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            word, _, numbers = line.partition(" ")
            vectors[word] = np.array(numbers.split(), np.float32)
    nothing = np.zeros_like(next(iter(vectors.values())))

    def encode(texts: Sequence[str]) -> Vectors:
        found = ([vectors[word] for word in split(text) if word in vectors] for text in texts)
        return np.stack([np.mean(words, axis=0) if words else nothing for words in found])

    return encode


def main(work: Path, files: list[Path]) -> None:
    """A line a file, and the means."""
    ways = encode_by_mean(work), encode_by_model(work)
    table = np.array([[pearson(encode, file) for encode in ways] for file in files])
    print(f"{'':40} mean  model")
    names = [f"{file.parent.name}/{file.stem}" for file in files]
    for name, row in zip([*names, "all"], [*table, table.mean(axis=0)], strict=True):
        print(f"{name:40} {row[0]:.3f} {row[1]:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
