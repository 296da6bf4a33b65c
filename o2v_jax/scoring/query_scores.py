"""Scores of queries beside all candidates, block by block, from encodings that are computed once.

Similarities, and heads that are linear in each encoding, take a matrix product a block; other heads
compare pair by pair.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from o2v_jax.array_types import Floats, Index
from o2v_jax.hyperparameters import Similarity
from o2v_jax.scoring.executor import Executor
from o2v_jax.scoring.linear_head import find_linear_head

# the numbers of some queries -> their scores, a new float32 array `[these queries, candidates]`
ScoreQueries: TypeAlias = Callable[[Index], Floats]

COMPARED = 2**18  # pairs at once: of 30 classes, 32 MB of scores


def make_query_scorer(
    executor: Executor,
    query_side: Literal[0, 1],
    column: int,
    queries: Floats,
    candidates: Floats,
) -> ScoreQueries:
    """A function that scores queries, by their numbers, beside all candidates.

    Args:
        executor: of the model.
        query_side: 0 if the queries are in0, 1 if they are in1; the candidates are of the other.
        column: of the head's outputs, the one that ranks.
        queries: encodings, float32 `[queries, enc_dim]`.
        candidates: encodings, float32 `[candidates, enc_dim]`.
    """
    config = executor.weights.head_config
    if config.objective is not None:
        return score_by_similarity(config.objective.similarity, queries, candidates)
    linear = find_linear_head(config, executor.weights.head_on_host, query_side, column)
    if linear is not None:
        return score_by_inner_product(linear.transform(queries), candidates, linear.shift(queries))
    return score_by_head(executor, query_side, column, queries, candidates)


def score_by_similarity(
    similarity: Similarity, queries: Floats, candidates: Floats
) -> ScoreQueries:
    """Scores by cosine or inner product."""
    if similarity == "cosine":
        queries, candidates = normalize_rows(queries), normalize_rows(candidates)
    return score_by_inner_product(queries, candidates)


def score_by_inner_product(
    queries: Floats, candidates: Floats, shift: Floats | None = None
) -> ScoreQueries:
    """Scores by inner product; `shift` `[queries]` is added to all of a query's."""

    def score(numbers: Index) -> Floats:
        with np.errstate(invalid="ignore", over="ignore"):  # where encodings are not finite
            scores: Floats = queries[numbers] @ candidates.T
            return scores if shift is None else scores + shift[numbers, None]

    return score


def score_by_head(
    executor: Executor,
    query_side: Literal[0, 1],
    column: int,
    queries: Floats,
    candidates: Floats,
) -> ScoreQueries:
    """Scores by the model's comparator and MLP, as `Scorer.rank` gives them."""
    size = max(1, COMPARED // max(1, len(candidates)))
    everything = np.arange(len(candidates))

    def score(numbers: Index) -> Floats:
        out = np.empty((len(numbers), len(candidates)), np.float32)
        for start in range(0, len(numbers), size):
            part = numbers[start : start + size]
            given = queries, np.repeat(part, len(candidates))
            others = candidates, np.tile(everything, len(part))
            sides = (given, others) if query_side == 0 else (others, given)
            scores = executor.compare(*sides[0], *sides[1])
            out[start : start + size] = scores[:, column].reshape(len(part), -1)
        return out

    return score


def normalize_rows(vectors: Floats) -> Floats:
    """Vectors of length 1, float32; those of length 0 stay."""
    with np.errstate(invalid="ignore", over="ignore"):  # where encodings are not finite
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        lengths[lengths == 0] = 1
        normalized: Floats = vectors / lengths
    return normalized
