"""Gradients that are written out, or come by fewer products, are those of the plain definition."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from o2v_jax.model import logits_fn, unchecked_logits_fn
from o2v_jax.model.hcnn import convolve
from o2v_jax.model.ops import winograd
from o2v_jax.model.ops.winograd import MIN_FAN, choose_min_fan
from o2v_jax.model.ops.winograd_transforms import WIDTHS

pytestmark = pytest.mark.slow

close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("length", [1, 2, 7, 12])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_winograd_convolution_and_its_gradients(width, length):
    x, weight = normal(3, length, 5), normal(width, 5, 4)
    weights = normal(3, length, 4, seed=1)

    def found(function):
        def loss(x, weight):
            return (function(x, weight) * weights).sum()

        return jax.jit(jax.value_and_grad(loss, (0, 1)))(x, weight)

    jax.tree.map(close, found(winograd.winograd_convolve), found(convolve))


def test_an_input_that_nothing_follows_from_has_no_gradient_at_all():
    x, weight = normal(1, 12, 5), normal(3, 5, 4)
    d_x = jax.jit(jax.grad(lambda x: winograd.winograd_convolve(x, weight)[:, :2].sum()))(x)
    assert (d_x[0, :3] != 0).all() and (d_x[0, 3:] == 0).all()  # noqa: PT018


def test_a_tap_that_meets_only_zeros_has_no_gradient_and_zeros_give_zero():
    x, weight = jnp.zeros((4, 2, 5)).at[:, 0].set(normal(4, 5)), normal(3, 5, 4)
    alone = jnp.zeros((1, 12, 5)).at[0, 0].set(1.0)
    convolve = jax.jit(winograd.winograd_convolve)
    d_weight = jax.jit(jax.grad(lambda weight: convolve(x, weight)[:, 0].sum()))(weight)
    assert (d_weight[1] != 0).all()
    assert (d_weight[::2] == 0).all()
    assert (convolve(alone, weight)[0, 2:] == 0).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_an_input_and_an_output_that_never_meet_have_no_gradient(width):
    """As under a ReLU and a maximum: adam would make whole steps of what rounding leaves there."""
    x, chosen = jax.nn.relu(normal(6, 12, 16) - 1), normal(6, 12, 8, seed=1) > 1.5

    def no_gradient(function):
        total = jax.jit(jax.grad(lambda w: jnp.where(chosen, function(x, w), 0.0).sum()))
        return np.asarray(total(normal(width, 16, 8))) == 0

    found = no_gradient(winograd.winograd_convolve)
    np.testing.assert_array_equal(found, no_gradient(convolve))
    assert 0.01 < found.mean() < 0.9


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_what_is_not_finite_is_not_taken_for_rounding(bad):
    x, weight = normal(2, 12, 5).at[0, 3, 1].set(bad), normal(3, 5, 4)
    total = jax.jit(jax.grad(lambda w: jnp.square(winograd.winograd_convolve(x, w)).sum()))
    d_weight = np.asarray(total(weight))
    assert not np.isfinite(d_weight[:, 1]).any()


@pytest.mark.parametrize("settings", [{"enc0_network": "bilstm", "enc0_layers": 2}, {}])
def test_the_gradient_of_training_is_that_of_finite_differences(config_of, model_of, settings):
    config = config_of(enc0_max_seq_len=5, num_classes=2, dropout=0.0, **settings)
    params, ids = model_of(config).params, np.array([[3, 1, 0, 4, 0], [5, 5, 2, 0, 0]], np.int32)
    key = jax.random.key(0)

    @jax.jit
    def loss(params):
        logits = unchecked_logits_fn(config, winograd_min_fan=1)
        return jnp.square(logits(params, ids, ids[::-1], key)).sum()

    way = jax.tree.map(lambda leaf: normal(*leaf.shape, seed=7), params)
    slope = sum(jax.tree.leaves(jax.tree.map(np.vdot, jax.grad(loss)(params), way)))
    move = jax.jit(lambda s: jax.tree.map(lambda p, d: p + s * d, params, way))
    one, two = (loss(move(s)) for s in (1e-3, -1e-3))
    np.testing.assert_allclose(slope, (one - two) / 2e-3, rtol=2e-2)


@pytest.mark.parametrize("network", ["hcnn", "bilstm"])
def test_a_table_of_few_rows_gives_the_gradient_of_a_whole_one(config_of, model_of, network):
    config = config_of(enc0_network=network, enc0_vocab_size=40, dropout=0.0)
    params = model_of(config).params
    rows, ids = np.int32([0, 3, 8, 39]), np.int32([[1, 2, 1, 3], [2, 2, 0, 0], [3, 3, 3, 1]])
    logits = unchecked_logits_fn(config, winograd_min_fan=1)

    def gradient(table, in0, in1):
        def loss(table):
            given = {**params, "embed_0": {"weight": table}}
            return jnp.square(logits(given, in0, in1, jax.random.key(0))).sum()

        return jax.jit(jax.grad(loss))(table)

    table, places = params["embed_0"]["weight"], rows[ids]  # in0 alone reads it
    whole = gradient(table, places, places)
    close(gradient(table[rows], ids, places), whole[rows])
    assert np.abs(whole).sum() == pytest.approx(np.abs(whole[rows]).sum())


def find_primitives(logits, *arguments):
    return str(jax.make_jaxpr(logits)(*arguments))


def test_winograd_is_used_only_where_it_is_asked_for(config_of, model_of):
    model, ids = model_of(config_of()), np.int32([[3, 1, 0, 4]])
    key = jax.random.key(0)
    for logits in (logits_fn(model.config), unchecked_logits_fn(model.config)):
        assert "custom_vjp" not in find_primitives(logits, model.params, ids, ids, key)
    logits = unchecked_logits_fn(model.config, winograd_min_fan=1)
    assert "custom_vjp" in find_primitives(logits, model.params, ids, ids, key)


@pytest.mark.parametrize("key", [None, 0])
def test_forward_mode_works_by_default(config_of, model_of, key):
    config = config_of(dropout=0.0)
    params, ids = model_of(config).params, np.int32([[3, 1, 0, 4], [5, 5, 2, 0]])
    way = jax.tree.map(lambda leaf: normal(*leaf.shape, seed=7), params)
    key = None if key is None else jax.random.key(key)

    @jax.jit
    def logits(params):
        return logits_fn(config)(params, ids, ids[::-1], key)

    _, slope = jax.jvp(logits, (params,), (way,))
    move = jax.jit(lambda s: jax.tree.map(lambda p, d: p + s * d, params, way))
    one, two = (logits(move(s)) for s in (1e-3, -1e-3))
    np.testing.assert_allclose(slope, (one - two) / 2e-3, rtol=2e-2, atol=1e-2)


def test_small_convolutions_stay_as_defined(config_of, model_of):
    model, ids = model_of(config_of()), np.int32([[3, 1, 0, 4]])
    logits = unchecked_logits_fn(model.config, winograd_min_fan=MIN_FAN)
    found = find_primitives(logits, model.params, ids, ids, jax.random.key(0))
    assert "custom_vjp" not in found


@pytest.mark.parametrize(("platform", "least"), [("cpu", MIN_FAN), ("gpu", None)])
def test_training_gains_by_winograd_on_a_cpu(platform, least):
    assert choose_min_fan(platform) == least
