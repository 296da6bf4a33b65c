"""The pure functions compose with what JAX offers: jit, grad, vmap, shard_map."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from reference import network as reference

from o2v_jax import compare_fn, encode_fn, init, logits_fn, score_fn
from o2v_jax.checkpoint import flatten, nest

pytestmark = pytest.mark.slow

NETWORKS = ("hcnn", "bilstm", "pooled_embedding")
IN0 = np.array([[3, 1, 2, 5], [4, 0, 9, 0], [0, 0, 0, 0], [11, 3, 0, 0]], np.int32)
IN1 = np.array([[7, 8, 0], [6, 6, 6], [1, 0, 0], [5, 2, 19]], np.int32)
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(params=NETWORKS)
def model(request, config_of, model_of):
    """A model whose two sides differ in network, on the device."""
    other = NETWORKS[NETWORKS.index(request.param) - 1]
    config = config_of(enc0_network=request.param, enc1_network=other, mlp_activation="tanh")
    model = model_of(config)
    return type(model)(config, jax.tree.map(jnp.asarray, model.params))


def test_jit_compiles_once(model, compilations):
    score = jax.jit(score_fn(model.config))
    first = score(model.params, IN0, IN1)
    assert compilations
    compilations.clear()
    second = score(model.params, IN0[::-1].copy(), IN1[::-1].copy())
    assert compilations == []
    np.testing.assert_allclose(second[::-1], first, **CLOSE)


def test_scores_are_compared_encodings(model):
    config, params = model.config, model.params
    sides = [jax.jit(encode_fn(config, s))(params, ids) for s, ids in enumerate((IN0, IN1))]
    compared = jax.jit(compare_fn(config))(params, *sides)
    np.testing.assert_allclose(compared, jax.jit(score_fn(config))(params, IN0, IN1), **CLOSE)
    for side, ids in enumerate((IN0, IN1)):
        expected = reference.encodings(config, params, side, ids)
        np.testing.assert_allclose(sides[side], expected, rtol=1e-5, atol=1e-5)


def test_scores_are_the_softmax_of_logits(model):
    logits = jax.jit(logits_fn(model.config))(model.params, IN0, IN1)
    scores = jax.jit(score_fn(model.config))(model.params, IN0, IN1)
    np.testing.assert_allclose(jax.nn.softmax(logits, axis=-1), scores, **CLOSE)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, **CLOSE)


def test_gradient_is_the_finite_difference_of_the_reference(model):
    """In float64, where a small step leaves enough digits: two entries of every parameter."""
    config = model.config
    loss = jax.jit(jax.grad(lambda params: score_fn(config)(params, IN0, IN1)[:, 0].sum()))
    flat = {name: np.float64(leaf) for name, leaf in flatten(model.params).items()}
    for name, slopes in flatten(loss(model.params)).items():
        for at in np.argsort(-np.abs(slopes), axis=None)[:2]:
            expected = finite_difference(config, flat, name, np.unravel_index(at, slopes.shape))
            np.testing.assert_allclose(slopes.flat[at], expected, rtol=1e-3, atol=1e-5)


def finite_difference(config, flat, name, at, step=1e-6):
    totals = []
    for sign in (1, -1):
        moved = flat | {name: flat[name].copy()}
        moved[name][at] += sign * step
        totals.append(reference.scores(config, nest(moved), IN0, IN1)[:, 0].sum())
    return (totals[0] - totals[1]) / (2 * step)


def test_vmap_over_batches_is_the_larger_batch(model):
    score = score_fn(model.config)
    whole = jax.jit(score)(model.params, IN0, IN1)
    halves = jax.jit(jax.vmap(score, (None, 0, 0)))(
        model.params, IN0.reshape(2, 2, 4), IN1.reshape(2, 2, 3)
    )
    np.testing.assert_allclose(halves.reshape(4, -1), whole, **CLOSE)


def test_vmap_over_models_is_an_ensemble(config_of, model_of):
    config = config_of()
    members = [model_of(config, seed).params for seed in (1, 2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    score = score_fn(config)
    scores = jax.jit(jax.vmap(score, (0, None, None)))(stacked, IN0, IN1)
    for member, expected in zip(members, scores, strict=True):
        np.testing.assert_allclose(jax.jit(score)(member, IN0, IN1), expected, **CLOSE)


@pytest.mark.skipif("len(jax.devices()) < 2", reason="needs two devices")
def test_shard_map_over_two_devices_is_the_whole(model):
    score, mesh = score_fn(model.config), Mesh(np.array(jax.devices()[:2]), ("rows",))
    specs = {"in_specs": (P(), P("rows"), P("rows")), "out_specs": P("rows")}
    sharded = jax.jit(jax.shard_map(score, mesh=mesh, **specs))(model.params, IN0, IN1)
    assert len(sharded.sharding.device_set) == 2
    whole = jax.jit(score)(model.params, IN0, IN1)
    np.testing.assert_allclose(np.asarray(sharded), whole, **CLOSE)


@pytest.mark.parametrize("way", ["plain", "jit over ids", "vmap"])
def test_parameters_as_loaded_serve_everywhere(config_of, model_of, way):
    """`o2v_jax.load` gives NumPy arrays, which need not be arguments of a jitted function."""
    config, score = config_of(), score_fn(config_of())
    params, (in0, in1) = model_of(config).params, map(jnp.asarray, (IN0, IN1))
    assert isinstance(params["embed_0"]["weight"], np.ndarray)
    ways = {
        "plain": lambda: score(params, in0, in1),
        "jit over ids": lambda: jax.jit(partial(score, params))(in0, in1),
        "vmap": lambda: jax.vmap(score, (None, 0, 0))(params, in0[None], in1[None])[0],
    }
    np.testing.assert_allclose(ways[way](), jax.jit(score)(params, in0, in1), **CLOSE)


@pytest.mark.parametrize("network", ["hcnn", "bilstm", "pooled_embedding"])
def test_gradients_inside_and_around_shard_map_are_those_of_one_device(network, config_of):
    config = config_of(enc0_network=network)
    params, score = init(config), score_fn(config)
    in0, in1 = np.random.default_rng(0).integers(0, 20, (2, 4, 7)).astype(np.int32)
    mesh = Mesh(np.array(jax.devices()[:2]), ("rows",))

    def loss(params, in0, in1):
        return (score(params, in0, in1)[:, 0] ** 2).sum()

    def sharded(function, out):
        specs = (P(), P("rows"), P("rows"))
        return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out)

    def total(params, in0, in1):
        return jax.lax.psum(loss(params, in0, in1), "rows")

    expected = jax.jit(jax.grad(loss))(params, in0, in1)
    around = jax.jit(jax.grad(sharded(total, P())))(params, in0, in1)
    inside = jax.jit(sharded(jax.grad(loss), P()))(params, in0, in1)
    for found in (around, inside):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)
