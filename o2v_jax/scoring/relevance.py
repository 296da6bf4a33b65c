"""How well relevant candidates are ranked: their ranks, and the usual metrics made of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Floats, Index
from o2v_jax.scoring.query_scores import ScoreQueries

Ranks: TypeAlias = npt.NDArray[np.float64]

CUTOFFS = (1, 10, 20)  # of hits and recall
NDCG_CUTOFFS = (10, 20)
BLOCK_SCORES = 2**24  # held at once: 64 MB


@dataclass(frozen=True, eq=False)
class Relevance:
    """Which candidates belong to which query.

    Attributes:
        queries: int64 `[pairs]`, ascending: the query of each pair.
        candidates: int64 `[pairs]`, ascending within a query: the candidate of each pair; no pair
            occurs twice.
        number_of_queries: those without a relevant candidate included.
        number_of_candidates: all that are ranked.
    """

    queries: Index
    candidates: Index
    number_of_queries: int
    number_of_candidates: int

    @classmethod
    def of(
        cls, queries: Index, candidates: Index, number_of_queries: int, number_of_candidates: int
    ) -> "Relevance":
        """Of pairs in any order, some perhaps repeated."""
        keys = np.unique(queries * number_of_candidates + candidates)
        one, two = np.divmod(keys, max(1, number_of_candidates))
        return cls(one, two, number_of_queries, number_of_candidates)

    @property
    def counts(self) -> Index:
        """Relevant candidates of each query, int64 `[queries]`."""
        return np.bincount(self.queries, minlength=self.number_of_queries)

    @property
    def keys(self) -> Index:
        """A number for each pair, int64 `[pairs]`, ascending."""
        return self.queries * self.number_of_candidates + self.candidates

    def find(self, queries: Index, candidates: Index) -> Index:
        """The positions of pairs that are among these, int64 `[given]`."""
        return np.searchsorted(self.keys, queries * self.number_of_candidates + candidates)

    def subtract(self, other: "Relevance") -> "Relevance":
        """The pairs that are not among those of another with the same numbers."""
        kept = ~np.isin(self.keys, other.keys, assume_unique=True)
        numbers = self.number_of_queries, self.number_of_candidates
        return Relevance(self.queries[kept], self.candidates[kept], *numbers)


def rank_relevant(
    score: ScoreQueries, relevance: Relevance, excluded: Relevance | None = None
) -> Ranks:
    """The rank of each relevant candidate in its query's list, from 1, float64 `[pairs]`.

    Candidates of equal scores share the mean of their ranks; scores that are NaN come last.

    Args:
        score: gives the scores of queries by their numbers.
        relevance: which candidates belong to which query.
        excluded: candidates that are taken out of a query's list, such as those known from
            training; a pair that is relevant stays in it.
    """
    ranks = np.empty(len(relevance.queries), np.float64)
    for block, scores in _iterate_lists(score, np.unique(relevance.queries), relevance, excluded):
        first, last = np.searchsorted(relevance.queries, [block[0], block[-1] + 1])
        rows = np.searchsorted(block, relevance.queries[first:last])
        own = scores[rows, relevance.candidates[first:last]]
        for at, (row, value) in enumerate(zip(rows.tolist(), own.tolist(), strict=True)):
            above = np.count_nonzero(scores[row] > value)
            ranks[first + at] = above + (1 + np.count_nonzero(scores[row] == value)) / 2
    return ranks


def find_first(
    score: ScoreQueries, queries: Index, relevance: Relevance, excluded: Relevance | None = None
) -> Index:
    """The candidate that comes first in the list of each query, int64 `[queries]`.

    Args:
        score: as for `rank_relevant`.
        queries: in any order; each has a relevant candidate.
        relevance: as for `rank_relevant`.
        excluded: as for `rank_relevant`.
    """
    lists = _iterate_lists(score, queries, relevance, excluded)
    found = [np.nanargmax(scores, axis=1) for _, scores in lists]
    return np.concatenate([np.zeros(0, np.int64), *found])


def _iterate_lists(
    score: ScoreQueries, queries: Index, relevance: Relevance, excluded: Relevance | None
) -> Iterator[tuple[Index, Floats]]:
    """Yields blocks of the queries with their scores; NaN is what was taken out of a list."""
    removed = None if excluded is None else excluded.subtract(relevance)
    size = max(1, BLOCK_SCORES // max(1, relevance.number_of_candidates))
    for block in (queries[start : start + size] for start in range(0, len(queries), size)):
        scores = score(block)
        scores[np.isnan(scores)] = -np.inf  # so that they come last
        if removed is not None:
            rows, pairs = _find_pairs(removed, block)
            scores[rows, removed.candidates[pairs]] = np.nan  # neither above nor equal to any
        yield block, scores


def _find_pairs(relevance: Relevance, queries: Index) -> tuple[Index, Index]:
    """The pairs of these queries, and for each the position of its query among them."""
    first = np.searchsorted(relevance.queries, queries)
    counts = np.searchsorted(relevance.queries, queries, side="right") - first
    rows = np.repeat(np.arange(len(queries)), counts)
    before = np.cumsum(counts) - counts
    return rows, np.arange(len(rows)) + np.repeat(first - before, counts)


def measure_queries(ranks: Ranks, relevance: Relevance) -> dict[str, Ranks]:
    """The metrics of every query that has a relevant candidate, float64 `[those queries]` each.

    They are named as their means are: `mrr`, 1 / the best rank of a relevant candidate;
    `hits_at_k`, whether one is among the first k; `recall_at_k`, the share of them that is among
    the first k; `ndcg_at_k`, the normalized discounted cumulative gain with gains of 1 (Järvelin
    and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques"); `mean_rank`, the best
    rank.

    ir-measures defines them alike, and tests compare the two. It takes an object of Python for
    every query and candidate, some gigabytes for 2,500 x 2,500, and has no mean rank.

    Args:
        ranks: what `rank_relevant` returns.
        relevance: the same, of at least one pair.
    """
    _, first, counts = np.unique(relevance.queries, return_index=True, return_counts=True)
    best = np.minimum.reduceat(ranks, first)
    found = {"mrr": 1 / best}
    for k in CUTOFFS:
        found[f"hits_at_{k}"] = (best <= k).astype(np.float64)
    for k in CUTOFFS:
        found[f"recall_at_{k}"] = np.add.reduceat(ranks <= k, first, dtype=np.float64) / counts
    for k in NDCG_CUTOFFS:
        found[f"ndcg_at_{k}"] = _find_ndcg(ranks, first, counts, k)
    return {**found, "mean_rank": best}


def compute_ranking_metrics(ranks: Ranks, relevance: Relevance) -> dict[str, float]:
    """The means of `measure_queries` over the queries, by name."""
    found = measure_queries(ranks, relevance)
    return {name: float(values.mean()) for name, values in found.items()}


def _find_ndcg(ranks: Ranks, first: Index, counts: Index, cutoff: int) -> Ranks:
    gains = np.where(ranks <= cutoff, 1 / np.log2(1 + ranks), 0.0)
    ideal = np.cumsum(1 / np.log2(1 + np.arange(1, cutoff + 1)))
    found: Ranks = np.add.reduceat(gains, first) / ideal[np.minimum(counts, cutoff) - 1]
    return found
