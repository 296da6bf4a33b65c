"""Encoders in bfloat16: near the scores of float32, and float32 where it must be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from o2v_jax import Scorer, encode_fn
from o2v_jax.errors import InputError
from o2v_jax.model import cast_encoders

pytestmark = pytest.mark.slow

NETWORKS = ["hcnn", "bilstm", "pooled_embedding"]


@pytest.fixture(params=NETWORKS)
def model(request, config_of, model_of):
    return model_of(config_of(enc0_network=request.param, enc_dim=8, enc0_max_seq_len=40))


def rows(count, seed):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 20, rng.integers(1, 40)).tolist() for _ in range(count)]


def dtypes(tree):
    return jax.tree.map(lambda leaf: leaf.dtype, tree)


def test_scores_are_near_those_of_float32_but_not_the_same(model):
    pairs = rows(50, 0), rows(50, 1)
    expected, found = Scorer(model).score(*pairs), Scorer(model, dtype="bfloat16").score(*pairs)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert np.abs(found - expected).max() > 1e-6


def test_a_record_scores_the_same_alone_and_among_others(model):
    scorer, (in0, in1) = Scorer(model, dtype="bfloat16"), (rows(20, 0), rows(20, 1))
    alone = np.concatenate([scorer.score([a], [b]) for a, b in zip(in0, in1, strict=True)])
    np.testing.assert_allclose(scorer.score(in0, in1), alone, atol=0.005)


def test_a_sum_of_many_loses_nothing(config_of, model_of):
    """1,000 times the same vector: a sum in bfloat16 would stop growing at 256 times it."""
    network = {"enc0_network": "pooled_embedding", "enc_dim": 8}
    model = model_of(config_of(**network, enc0_max_seq_len=1000))
    scorer = Scorer(model, dtype="bfloat16")
    np.testing.assert_allclose(
        scorer.embed(in0=[[3] * 1000]), scorer.embed(in0=[[3]]), rtol=1e-4, atol=1e-6
    )


def test_only_the_head_stays_as_it_was(model):
    params = cast_encoders(model.params, "bfloat16")
    found = {name: {leaf.dtype for leaf in jax.tree.leaves(params[name])} for name in params}
    assert found.pop("head") == {jnp.dtype("float32")}
    assert set.union(*found.values()) == {jnp.dtype("bfloat16")}


def test_gradients_have_the_dtype_of_their_parameters(model):
    params = cast_encoders(model.params, "bfloat16")
    ids = np.array([[3, 4, 5, 0], [7, 0, 0, 0]], np.int32)
    wanted, found = (
        jax.jit(jax.grad(lambda params: (encode_fn(model.config, 0)(params, ids) ** 2).sum()))(tree)
        for tree in (model.params, params)
    )
    for expected, gradient in zip(*map(jax.tree.leaves, (wanted, found)), strict=True):
        np.testing.assert_allclose(gradient.astype(np.float32), expected, rtol=0.05, atol=0.05)
    assert dtypes(found) == dtypes(params)


def test_tensorfloat32_is_float32_on_a_cpu(model):
    pairs = rows(20, 0), rows(20, 1)
    expected, found = (Scorer(model, dtype=d).score(*pairs) for d in ("float32", "tensorfloat32"))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_another_dtype_is_refused(model):
    with pytest.raises(
        InputError, match="dtype='float16' must be one of float32, tensorfloat32, bfloat16"
    ):
        Scorer(model, dtype="float16")
