"""Ranks and ranking metrics, beside those of ir-measures and scipy."""

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, R, Success, nDCG
from scipy.stats import rankdata

from o2v_jax.scoring import relevance as relevance_module
from o2v_jax.scoring.query_scores import score_by_similarity
from o2v_jax.scoring.relevance import (
    Relevance,
    compute_ranking_metrics,
    find_first,
    measure_queries,
    rank_relevant,
)

MEASURES = {
    "mrr": RR,
    **{f"hits_at_{k}": Success @ k for k in (1, 10, 20)},
    **{f"recall_at_{k}": R @ k for k in (1, 10, 20)},
    **{f"ndcg_at_{k}": nDCG @ k for k in (10, 20)},
}


def relevance_of(relevant):
    """Of a bool matrix `[queries, candidates]`."""
    return Relevance.of(*np.nonzero(relevant), *relevant.shape)


def rank(scores, relevance, excluded=None):
    scores = np.asarray(scores, np.float32)
    return rank_relevant(lambda queries: scores[queries], relevance, excluded)


@st.composite
def lists(draw):
    """Scores without ties, and which candidates are relevant to which query: to some, none."""
    queries, candidates = draw(st.integers(1, 6)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = rng.permuted(np.tile(np.arange(candidates), (queries, 1)), axis=1)
    relevant = rng.random((queries, candidates)) < draw(st.sampled_from([0.03, 0.2, 0.7]))
    relevant[0, 0] = True
    return scores, relevant


@settings(max_examples=40)
@given(lists())
def test_the_metrics_are_those_of_ir_measures(drawn):
    scores, relevant = drawn
    asked = np.flatnonzero(relevant.any(axis=1))
    qrels = {
        str(q): {f"d{c}": 1 for c in np.flatnonzero(relevant[q]).tolist()} for q in asked.tolist()
    }
    run = {
        str(q): {f"d{c}": float(score) for c, score in enumerate(scores[q])} for q in asked.tolist()
    }
    expected = ir_measures.calc_aggregate(MEASURES.values(), qrels, run)
    relevance = relevance_of(relevant)
    found = compute_ranking_metrics(rank(scores, relevance), relevance)
    assert found.pop("mean_rank") >= 1
    assert found == pytest.approx(
        {name: expected[measure] for name, measure in MEASURES.items()}, abs=1e-6
    )


@settings(max_examples=40)
@given(lists(), st.integers(1, 8), st.integers(1, 100))
def test_equal_scores_share_their_mean_rank(drawn, kinds, block):
    scores, relevant = drawn
    scores = scores % kinds
    relevance = relevance_of(relevant)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relevance_module, "BLOCK_SCORES", block)
        found = rank(scores, relevance)
    np.testing.assert_array_equal(found, rankdata(-scores, axis=1)[relevant])


def test_scores_that_are_nan_come_last_and_share_their_rank():
    nan, inf = np.nan, np.inf
    scores = [[0.5, nan, inf, nan], [nan, nan, nan, nan]]
    everything = relevance_of(np.ones((2, 4), bool))
    assert rank(scores, everything).tolist() == [2, 3.5, 1, 3.5, *[2.5] * 4]


def test_what_is_excluded_leaves_the_lists_but_not_what_is_relevant():
    scores = [[9, 8, 7, 6, 5], [9, 8, 7, 6, 5]]
    relevance = Relevance.of(np.array([0, 1, 1]), np.array([3, 4, 0]), 2, 5)
    excluded = Relevance.of(np.array([0, 0, 1, 1]), np.array([0, 4, 1, 0]), 2, 5)
    assert rank(scores, relevance).tolist() == [4, 1, 5]
    assert rank(scores, relevance, excluded).tolist() == [3, 1, 4]
    everywhere = Relevance.of(np.array([0] * 5), np.arange(5), 2, 5)
    assert rank(scores, relevance, everywhere).tolist() == [1, 1, 5]


def test_the_first_of_a_list_may_be_asked_for_in_any_order():
    scores = np.float32([[1, 3, 2], [np.nan, np.nan, np.nan], [5, 4, 6]])
    relevance = relevance_of(np.eye(3, dtype=bool))
    excluded = Relevance.of(np.array([2, 2]), np.array([0, 2]), 3, 3)

    def find(*queries):
        numbers = np.array(queries, np.int64)
        return find_first(lambda at: scores[at], numbers, relevance, excluded).tolist()

    assert find(2, 0) == [2, 1]  # what is relevant stays
    assert find(1) == [0]
    assert find() == []


def test_queries_without_a_relevant_candidate_are_not_among_the_means():
    relevance = Relevance.of(np.array([2, 0, 2, 0]), np.array([1, 0, 0, 0]), 4, 2)
    assert relevance.queries.tolist() == [0, 2, 2], "no pair occurs twice"
    assert relevance.counts.tolist() == [1, 0, 2, 0]
    values = measure_queries(np.array([2.0, 1.0, 2.0]), relevance)
    assert values["mean_rank"].tolist() == [2, 1]
    assert values["recall_at_1"].tolist() == [0, 0.5]
    assert compute_ranking_metrics(np.array([2.0, 1.0, 2.0]), relevance)["mrr"] == 0.75


def test_pairs_are_found_and_subtracted():
    pairs = Relevance.of(np.array([0, 1, 1]), np.array([2, 0, 2]), 2, 3)
    assert pairs.find(np.array([1, 0]), np.array([2, 2])).tolist() == [2, 0]
    rest = pairs.subtract(Relevance.of(np.array([1, 0]), np.array([0, 0]), 2, 3))
    assert (rest.queries.tolist(), rest.candidates.tolist()) == ([0, 1], [2, 2])


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
def test_encodings_that_are_not_finite_come_last_without_a_warning(similarity):
    candidates = np.float32([[1, 0], [np.nan, 0], [np.inf, -np.inf], [0, 0]])
    score = score_by_similarity(similarity, np.float32([[2, 2], [np.inf, 1]]), candidates)
    relevance = relevance_of(np.ones((2, 4), bool))
    ranks = rank_relevant(score, relevance)
    assert ranks[:4].tolist() == [1, 3.5, 3.5, 2]
