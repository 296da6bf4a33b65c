"""Networks that compare encodings by a similarity, as the in-batch objective trains them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import o2v_jax
from o2v_jax import InBatchObjective, Scorer, compare_fn, encode_fn, score_fn
from o2v_jax.model import parameter_shapes
from o2v_jax.model.head import normalize

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
OBJECTIVES = {
    "cosine": InBatchObjective(),
    "inner_product": InBatchObjective(similarity="inner_product", temperature=1),
}


def compare(similarity, enc0, enc1):
    """The similarities in float64."""
    enc0, enc1 = np.float64(enc0), np.float64(enc1)
    products = (enc0 * enc1).sum(1)
    if similarity == "cosine":
        products /= np.linalg.norm(enc0, axis=1) * np.linalg.norm(enc1, axis=1)
    return products[:, None]


@pytest.fixture(scope="module", params=["cosine", "inner_product"])
def model(request, config_of, model_of):
    config = config_of(
        enc0_network="pooled_embedding",
        enc1_network="pooled_embedding",
        enc1_vocab_size=15,
        objective=OBJECTIVES[request.param],
    )
    return model_of(config)


def test_there_is_no_head_to_train(model):
    assert set(model.params) == {"embed_0", "embed_1"}
    assert set(parameter_shapes(model.config)) == {"embed_0.weight", "embed_1.weight"}


def test_scores_are_the_similarities_of_the_encodings(model):
    in0, in1 = RNG.integers(1, 15, (2, 6, 4)).astype(np.int32)
    encodings = [
        np.asarray(encode_fn(model.config, side)(model.params, ids))
        for side, ids in enumerate((in0, in1))
    ]
    expected = compare(model.config.objective.similarity, *encodings)
    scores = jax.jit(score_fn(model.config))(model.params, in0, in1)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    compared = jax.jit(compare_fn(model.config))(model.params, *encodings)
    np.testing.assert_allclose(compared, expected, atol=1e-6)


def test_a_scorer_gives_the_same_alone_batched_and_ranked(model):
    scorer = Scorer(model)
    in0, in1 = ([RNG.integers(1, 15, RNG.integers(1, 8)) for _ in range(50)] for _ in range(2))
    scores = scorer.score(in0, in1)
    assert scores.shape == (50, 1)
    encodings = scorer.embed(in0=in0), scorer.embed(in1=in1)
    expected = compare(model.config.objective.similarity, *encodings)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    np.testing.assert_allclose(scorer.score(in0[:1], in1[:1]), scores[:1], atol=1e-6)
    one, many = encodings[0][:1].repeat(50, 0), encodings[1]
    alone = compare(model.config.objective.similarity, one, many)[:, 0]
    for candidates in (in1, encodings[1]):
        ranking = scorer.rank(in0[0], candidates, k=5)
        np.testing.assert_allclose(ranking.scores, np.sort(alone)[::-1][:5], atol=1e-6)


def test_bfloat16_and_embedding_mode_work(model):
    rows = [[3, 4], [5]]
    exact = Scorer(model).score(rows, rows)
    np.testing.assert_allclose(Scorer(model, dtype="bfloat16").score(rows, rows), exact, atol=0.05)
    np.testing.assert_allclose(
        Scorer(model, preferred_mode="embedding").score(rows, rows), exact, atol=1e-6
    )


def test_a_saved_model_keeps_its_objective(model, tmp_path):
    loaded = o2v_jax.load(o2v_jax.save(model, tmp_path / "model"))
    assert loaded.config == model.config
    rows = [[3, 4], [5]]
    np.testing.assert_array_equal(Scorer(loaded).score(rows, rows), Scorer(model).score(rows, rows))
    assert f"compared by {model.config.objective.similarity}" in repr(loaded)


def test_parameters_of_a_comparator_do_not_fit(model, model_of):
    pairs = replace(model.config, objective=None)
    with pytest.raises(o2v_jax.InputError, match=r"head\.output_layer\.weight"):
        Scorer(replace(model, params=model_of(pairs).params))


def test_class_names_are_refused(model, tmp_path):
    with pytest.raises(o2v_jax.CheckpointError, match="but this model gives similarities"):
        o2v_jax.save(replace(model, class_names=("no", "yes")), tmp_path / "model")


def test_normalizing_a_zero_vector_has_a_gradient_of_zero():
    vectors = jnp.zeros((1, 3), jnp.float32)
    np.testing.assert_array_equal(normalize(vectors), vectors)
    gradient = jax.grad(lambda x: normalize(x).sum())(vectors)
    np.testing.assert_array_equal(gradient, vectors)
