"""Scores of queries beside all candidates are those of pairs, however they are computed."""

from functools import cache

import numpy as np
import pytest

import o2v_jax
from o2v_jax import InBatchObjective, InputError
from o2v_jax.scoring import query_scores
from o2v_jax.scoring.folding import fold_head
from o2v_jax.scoring.linear_head import find_linear_head

pytestmark = pytest.mark.slow

QUERIES = [[2, 3], [4], [5, 6, 7]]
CANDIDATES = [[1], [8, 9], [10], [2, 3]]
POOLED = {"enc0_network": "pooled_embedding", "enc1_network": "pooled_embedding"}
LINEAR = {"mlp_activation": "linear", "mlp_layers": 1}
SETTINGS = {
    "cosine": {"objective": InBatchObjective()},
    "inner product": {"objective": InBatchObjective(similarity="inner_product")},
    "linear": {**LINEAR, "num_classes": 2, "comparator_list": ("concat", "hadamard")},
    "three classes": {**LINEAR, "num_classes": 3},
    "MLP": {"mlp_activation": "relu", "mlp_layers": 1, "num_classes": 2},
}


@pytest.fixture(scope="module")
def scorer_of(config_of, model_of):
    @cache
    def make(name):
        config = config_of(**POOLED, **SETTINGS[name])
        return o2v_jax.Scorer(model_of(config))

    return make


def score_each(scorer, side, column):
    """By `Scorer.score`, pair by pair."""
    pairs = [(query, candidate) for query in QUERIES for candidate in CANDIDATES]
    in0, in1 = ([pair[at] for pair in pairs] for at in ((0, 1) if side == 0 else (1, 0)))
    return scorer.score(in0, in1)[:, column].reshape(len(QUERIES), -1)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("side", [0, 1])
def test_scores_order_candidates_as_those_of_pairs(name, side, scorer_of, monkeypatch):
    monkeypatch.setattr(query_scores, "COMPARED", 9)
    scorer, column = scorer_of(name), {"linear": 1, "MLP": 0, "three classes": 2}.get(name, 0)
    class_index = None if name in {"cosine", "inner product", "linear"} else column
    score = scorer.make_query_scorer(QUERIES, CANDIDATES, query_side=side, class_index=class_index)
    found, expected = score(np.array([0, 1, 2])), score_each(scorer, side, column)
    if name == "linear":  # log-odds
        found = 1 / (1 + np.exp(-found))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    some = score(np.array([2, 0]))
    np.testing.assert_allclose(some, score(np.arange(3))[[2, 0]], rtol=1e-5, atol=1e-6)


def test_encodings_are_taken_as_they_are(scorer_of):
    scorer = scorer_of("cosine")
    enc0, enc1 = scorer.embed(in0=QUERIES), scorer.embed(in1=CANDIDATES)
    at = np.arange(3)
    np.testing.assert_array_equal(
        scorer.make_query_scorer(enc0, enc1)(at), scorer.make_query_scorer(QUERIES, CANDIDATES)(at)
    )
    with pytest.raises(InputError, match="query_side=2 must be 0"):
        scorer.make_query_scorer(enc0, enc1, query_side=2)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    ("settings", "column"),
    [
        ({**LINEAR, "num_classes": 2}, 0),
        ({"mlp_layers": 0, "num_classes": 2, "comparator_list": ("hadamard", "concat")}, 1),
        ({**LINEAR, "output_layer": "mean_squared_error", "comparator_list": ("concat",)}, 0),
    ],
)
def test_a_linear_head_is_an_inner_product(settings, column, side, config_of, model_of):
    settings = {"comparator_list": ("hadamard",), **settings}
    model = model_of(config_of(**settings))
    queries, candidates = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    linear = find_linear_head(*fold_head(model.config, model.params["head"]), side, column)
    found = (linear.transform(queries) * candidates).sum(axis=1) + linear.shift(queries)
    sides = (queries, candidates) if side == 0 else (candidates, queries)
    logits = np.asarray(o2v_jax.model.head_fn(model.config)(model.params["head"], *sides))
    expected = logits[:, 0]
    if model.config.is_classification:
        expected = np.log(logits[:, column] / logits[:, 1 - column])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {**LINEAR, "num_classes": 2, "comparator_list": ("hadamard", "abs_diff")},
        {**LINEAR, "num_classes": 3, "comparator_list": ("hadamard",)},
        {"mlp_layers": 1, "mlp_activation": "tanh", "comparator_list": ("hadamard",)},
        {"objective": InBatchObjective()},
    ],
)
def test_other_heads_have_no_linear_form(settings, config_of, model_of):
    model = model_of(config_of(**{"num_classes": 2, **settings}))
    folded = fold_head(model.config, model.params.get("head", {}))
    assert find_linear_head(*folded, 0, 0) is None
