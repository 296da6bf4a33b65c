"""Semantic textual similarity: Pearson of human scores with the cosine of in1 encodings.

    python examples/snli/sts.py MODEL FILE...

FILE holds lines of score, sentence and sentence, separated by tabs.
"""

import sys
from pathlib import Path

import numpy as np

import o2v_jax


def pearson(scorer: o2v_jax.Scorer, file: Path) -> float:
    """Correlation over the pairs of a file."""
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    gold = [float(row[0]) for row in rows]
    one, two = (scorer.embed(in1=[row[k] for row in rows]) for k in (1, 2))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    cosines = (one * two).sum(axis=1) / np.maximum(norms, 1e-12)
    return float(np.corrcoef(gold, cosines)[0, 1])


def main(model: o2v_jax.Model, files: list[Path]) -> None:
    """A line a file."""
    scorer = o2v_jax.Scorer(model)
    for file in files:
        print(file.name, f"{pearson(scorer, file):.3f}")


if __name__ == "__main__":
    main(o2v_jax.load(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
