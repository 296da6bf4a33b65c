"""How well the true document of each query is ranked: by the model, by TF-IDF, by both together.

    pip install 'scikit-learn>=1.5,<2'
    python examples/retrieval/evaluate.py MODEL PAIRS

PAIRS is the folder that papers.py or commands.py wrote. A pair's score by the model is the cosine
of two encodings. Before the two scores of a query are added, each is brought to mean 0 and
deviation 1; the weight of the model's is the one of WEIGHTS with the best mean reciprocal rank on
the dev pairs.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.feature_extraction.text import TfidfVectorizer

import o2v_jax

Scores = npt.NDArray[np.float32]  # [queries, documents]; the k-th document is the k-th query's
WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


def read(file: Path) -> tuple[list[str], list[str]]:
    """Reads queries and documents."""
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    return [row[0] for row in rows], [row[1] for row in rows]


def score_by_tfidf(queries: Sequence[str], documents: Sequence[str]) -> Scores:
    """Cosine of TF-IDF vectors, with sublinear term frequency; frequencies of the documents."""
    vectorizer = TfidfVectorizer(token_pattern=r"\S+", lowercase=False, sublinear_tf=True)
    there = vectorizer.fit_transform(documents)
    return np.float32((vectorizer.transform(queries) @ there.T).toarray())


def score_by_model(
    model: o2v_jax.Model, queries: Sequence[str], documents: Sequence[str]
) -> Scores:
    """Similarity of every pair; each text is encoded once."""
    score = o2v_jax.Scorer(model).make_query_scorer(list(queries), list(documents))
    return score(np.arange(len(queries)))


def rank_true(scores: Scores) -> npt.NDArray[np.float64]:
    """The true document's rank in each query's list, from 1; those that tie share their mean.

    Queries of which no word is in any document tie with all of them in TF-IDF. Metrics that break
    ties by position, or take the worst rank, say something else of these.
    """
    return np.array([rankdata(-row)[at] for at, row in enumerate(scores)])


def blend(tfidf: Scores, model: Scores, weight: float) -> Scores:
    """Adds both scores, each made comparable from query to query."""
    return standardize(tfidf) + np.float32(weight) * standardize(model)


def mean_reciprocal_rank(tfidf: Scores, model: Scores, weight: float) -> float:
    """Mean of 1 / rank, of the blend with this weight."""
    return float(np.mean(1 / rank_true(blend(tfidf, model, weight))))


def standardize(scores: Scores) -> Scores:
    """Brings every row to mean 0 and deviation 1; a row of equal scores says nothing, and is 0."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    deviations = scores.std(axis=1, keepdims=True)
    return np.asarray(centred / np.where(deviations > 0, deviations, 1))


def main(model: o2v_jax.Model, pairs: Path) -> None:
    """A line for each kind of pair and of score."""
    for file in sorted(pairs.glob("test-*.tsv"), reverse=True):
        kind = file.stem.removeprefix("test-")
        dev, test = (read(pairs / f"{part}-{kind}.tsv") for part in ("dev", "test"))
        gain = partial(mean_reciprocal_rank, score_by_tfidf(*dev), score_by_model(model, *dev))
        weight = max(WEIGHTS, key=gain)
        ours = score_by_model(model, *test)
        theirs = score_by_tfidf(*test)
        both = blend(theirs, ours, weight)
        for name, scores in {"model": ours, "tf-idf": theirs, f"blend {weight}": both}.items():
            ranks = rank_true(scores)
            hits = "/".join(f"{np.mean(ranks <= k):.3f}" for k in (1, 10, 20))
            print(f"{kind:8} {name:10} hits@1/10/20 {hits}  mean rank {ranks.mean():.1f}")


if __name__ == "__main__":
    main(o2v_jax.load(sys.argv[1]), Path(sys.argv[2]))
