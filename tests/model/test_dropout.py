"""Dropout is off unless a key is given, and stands where the original has it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import network as reference

from o2v_jax import Object2Vec, logits_fn

pytestmark = pytest.mark.slow

IN0 = np.array([[3, 1, 2, 5], [4, 9, 0, 0]], np.int32)
IN1 = np.array([[7, 8, 0], [6, 6, 6]], np.int32)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture
def logits_of(config_of, model_of):
    """A function of a rate: a function (key or none) -> logits, of one and the same hcnn model."""

    def at_rate(rate):
        config = config_of(dropout=rate, enc0_layers=2)
        params = jax.tree.map(jnp.asarray, model_of(config).params)
        return jax.jit(partial(logits_fn(config), params, IN0, IN1))

    return at_rate


def encode(model, ids, key=0):
    """Encodings of in0 in training, with the dropout that a key draws."""
    graph, _ = nnx.split(nnx.eval_shape(lambda: Object2Vec(model.config, rngs=nnx.Rngs(0))))

    def encode(params, ids, key):
        return nnx.merge(graph, params).encode(0, ids, nnx.Rngs(dropout=key))

    return np.asarray(jax.jit(encode)(model.params, ids, jax.random.key(key)))


def test_without_a_key_there_is_none(logits_of):
    np.testing.assert_array_equal(logits_of(0.9)(), logits_of(0.0)())


def test_a_key_decides_what_is_dropped(logits_of):
    one, again, other = map(logits_of(0.5), map(jax.random.key, (1, 1, 2)))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3


def test_rate_0_drops_nothing(logits_of):
    np.testing.assert_allclose(logits_of(0.0)(jax.random.key(1)), logits_of(0.0)(), **CLOSE)


def test_rate_1_leaves_the_bias_of_the_output_layer(config_of, model_of, logits_of):
    bias = model_of(config_of(enc0_layers=2)).params["head"]["output_layer"]["bias"]
    np.testing.assert_allclose(logits_of(1.0)(jax.random.key(1)), [bias, bias], **CLOSE)


def test_the_mean_over_keys_is_the_value_without(config_of, model_of):
    """Only of a network that is linear in what is dropped; its spread tells how near to expect."""
    config = config_of(
        enc0_network="pooled_embedding",
        comparator_list="concat",
        output_layer="mean_squared_error",
        dropout=0.4,
    )
    params = jax.tree.map(jnp.asarray, model_of(config).params)
    draw = jax.jit(jax.vmap(lambda key: logits_fn(config)(params, IN0, IN1, key)))
    values = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)), np.float64)
    expected = reference.scores(config, params, IN0, IN1)
    error = values.std(axis=0) / np.sqrt(len(values))
    assert error.min() > 1e-3
    assert (np.abs(values.mean(axis=0) - expected) < 5 * error).all()


def test_hcnn_drops_between_its_layers(config_of, model_of):
    model = model_of(config_of(dropout=1.0, enc0_layers=2))
    first, second = np.split(encode(model, IN0[:1])[0], 2)
    whole = reference.encode_side(model.config, model.params, 0, IN0[0])
    np.testing.assert_allclose(first, whole[:4], **CLOSE)
    bias = model.params["source"]["layer_1"]["bias"]
    np.testing.assert_allclose(second, np.maximum(bias, 0.0), **CLOSE)


def test_bilstm_drops_between_its_layers(config_of, model_of):
    model = model_of(config_of(dropout=1.0, enc0_network="bilstm", enc0_layers=2))
    nothing, source = np.zeros((4, 8)), model.params["source"]
    ways = [reference.lstm(nothing, source[f"{way}_1"]) for way in ("forward", "backward")]
    expected = np.concatenate(ways, axis=1).max(axis=0)
    np.testing.assert_allclose(encode(model, IN0[:1])[0], expected, **CLOSE)


def test_one_bilstm_or_hcnn_layer_has_nothing_to_drop_between(config_of, model_of):
    for network in ("bilstm", "hcnn"):
        model = model_of(config_of(dropout=1.0, enc0_network=network, enc0_layers=1))
        expected = reference.encodings(model.config, model.params, 0, IN0)
        np.testing.assert_allclose(encode(model, IN0), expected, **CLOSE)


def test_pooled_drops_after_the_mean(config_of, model_of):
    model = model_of(config_of(dropout=0.5, enc0_network="pooled_embedding"))
    encodings = encode(model, IN0)
    kept, whole = encodings != 0, reference.encodings(model.config, model.params, 0, IN0)
    assert 0 < kept.sum() < kept.size
    np.testing.assert_allclose(encodings, np.where(kept, 2 * whole, 0.0), **CLOSE)


def test_the_two_encoders_draw_apart(config_of, model_of):
    config = config_of(
        enc0_network="pooled_embedding",
        tied_token_embedding_weight=True,
        comparator_list="abs_diff",
        mlp_layers=0,
        dropout=0.5,
    )
    params, bias = model_of(config).params, model_of(config).params["head"]["output_layer"]["bias"]
    logits = jax.jit(logits_fn(config))(params, IN0, IN0, jax.random.key(3))
    assert np.abs(logits - bias[None]).max() > 1e-2
