"""An index answers what `Scorer.rank` does, whatever the head."""

import numpy as np
import pytest

import o2v_jax
from o2v_jax import Index, InputError

EXACT = {
    "cosine": "cosine",
    "inner product": "inner_product",
    "two classes": "linear",
    "two classes and concat": "linear",
    "concat alone": "linear",
    "regression": "linear",
}
OTHERS = ["three classes", "a network", "abs_diff"]


def choose_class(model):
    return model.config.outputs - 1 if model.config.outputs > 2 else None


def assert_ranked_alike(hits, ranking):
    """The same scores; the same items where no others have scores that are equal to rounding."""
    np.testing.assert_allclose(hits.scores, ranking.scores, rtol=1e-5, atol=1e-6)
    gaps = np.abs(np.diff(ranking.scores))
    clear = np.r_[True, gaps > 1e-5] & np.r_[gaps > 1e-5, False]
    np.testing.assert_array_equal(hits.positions[clear], ranking.indices[clear])


@pytest.mark.parametrize("side", ["in0", "in1"])
@pytest.mark.parametrize("head", [*EXACT, *OTHERS])
def test_an_index_orders_as_rank_does(head, side, head_of, encodings):
    model = head_of(head)
    scorer, column = o2v_jax.Scorer(model), choose_class(model)
    items, queries = encodings(50), encodings(4, seed=1)
    index = Index.build(model, items, side=side, scorer=scorer, class_index=column, candidates=50)
    assert index.info.metric == EXACT.get(head, "reranked")
    for query, hits in zip(queries, index.search(queries, 12), strict=True):
        asked = 0 if side == "in1" else 1
        ranking = scorer.rank(query, items, 12, query_side=asked, class_index=column)
        assert_ranked_alike(hits, ranking)
        assert hits.keys == hits.positions.tolist()


@pytest.mark.parametrize("head", OTHERS)
def test_a_head_that_is_no_inner_product_is_asked_about_the_nearest(head, head_of, encodings):
    """Its recall is measured, and much better than that of items drawn at random."""
    model = head_of(head)
    column = choose_class(model)
    index = Index.build(
        model, encodings(600), class_index=column, candidates=60, queries=encodings(20, seed=1)
    )
    assert index.recall.queries == 20
    assert index.recall.source == "given queries"
    assert index.recall.at_10 > 0.4  # at random 0.1
    assert f"finds {100 * index.recall.at_10:.1f} % of the first 10" in repr(index)


@pytest.mark.parametrize("head", ["inner product", "two classes", "regression", "a network"])
def test_scores_that_are_no_numbers_never_rank(head, head_of, encodings):
    items = encodings(30)
    items[7] = 3e38 * np.sign(items[7])
    index = Index.build(head_of(head), items)
    (hits,) = index.search(1e30 * encodings(1, seed=1), 30)
    assert not np.isnan(hits.scores).any()
    assert len(hits.keys) == len(hits.scores) == len({*hits.keys})


def test_a_class_must_be_chosen_and_known(head_of, encodings):
    three, two = head_of("three classes"), head_of("two classes")
    with pytest.raises(InputError, match=r"class_index=None must be an integer in 0\.\.2"):
        Index.build(three, encodings(3))
    with pytest.raises(InputError, match=r"class_index=2 must be an integer in 0\.\.1"):
        Index.build(two, encodings(3), class_index=2)
    first, second = (Index.build(two, encodings(9), class_index=at) for at in (0, 1))
    query = encodings(1, seed=1)
    (low,), (high,) = first.search(query, 9), second.search(query, 9)
    assert low.positions.tolist() == high.positions[::-1].tolist()
