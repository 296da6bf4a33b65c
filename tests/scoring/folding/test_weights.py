"""Weights on a device: which encoders are folded there, and nothing there twice."""

from itertools import product

import jax
import numpy as np
import pytest
from reference import network as reference

from o2v_jax import Scorer
from o2v_jax.scoring.device_profile import ACCELERATOR, CPU
from o2v_jax.scoring.folding import count_folded_bytes
from o2v_jax.scoring.weights import Weights

pytestmark = pytest.mark.slow

NETWORKS = ("hcnn", "bilstm", "pooled_embedding")
PAIRS = list(product(NETWORKS, NETWORKS))
FOLDED = [pair for pair in PAIRS if pair != ("pooled_embedding", "pooled_embedding")]
TABLE = (20, 8)
# the models are small
SMALL = CPU._replace(winograd_min_fan=1)
NO_ROOM = SMALL._replace(max_folded_bytes=0)


@pytest.fixture
def pair_of(config_of, model_of):
    """A function of two networks and maybe more hyperparameters: a model."""
    return lambda networks, **more: model_of(
        config_of(enc0_network=networks[0], enc1_network=networks[1], **more)
    )


def tables(params, side):
    """The arrays of an encoder's parameters that have a token table's shape."""
    return [leaf for leaf in jax.tree.leaves(params.get_encoder(side)) if leaf.shape == TABLE]


def assert_scores(model, rows, profile):
    in0, in1 = zip(*product(rows, rows), strict=True)
    cut = [[row[:7] for row in side] for side in (in0, in1)]
    expected = reference.scores(model.config, model.params, *cut)
    assert np.ptp(expected, axis=0).min() > 1e-2
    found = Scorer(model, max_programs=24, profile=profile).score(in0, in1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("networks", PAIRS, ids="-".join)
def test_scores(pair_of, rows, networks):
    assert_scores(pair_of(networks), rows, SMALL)


@pytest.mark.parametrize("tied", [False, True], ids=["own tables", "tied"])
@pytest.mark.parametrize("networks", FOLDED, ids="-".join)
def test_scores_of_tokens_as_they_are(pair_of, rows, networks, tied):
    assert_scores(pair_of(networks, tied_token_embedding_weight=tied), rows, NO_ROOM)


@pytest.mark.parametrize("networks", FOLDED, ids="-".join)
def test_folded_tokens_take_the_place_of_the_table(pair_of, networks):
    params = Weights(pair_of(networks), "float32")
    kept = [len(tables(params, side)) for side in (0, 1)]
    assert kept == [int(network == "pooled_embedding") for network in networks]


@pytest.mark.parametrize("networks", FOLDED, ids="-".join)
def test_tokens_are_folded_if_those_of_both_sides_fit(pair_of, networks):
    model = pair_of(networks)
    encoders = [model.config.encoder(side) for side in (0, 1)]
    size = sum(count_folded_bytes(one) for one in encoders if one.network != "pooled_embedding")
    for room, kept in (size, networks.count("pooled_embedding")), (size - 1, 2):
        params = Weights(model, "float32", profile=CPU._replace(max_folded_bytes=room))
        assert sum(len(tables(params, side)) for side in (0, 1)) == kept


@pytest.mark.parametrize("networks", PAIRS, ids="-".join)
def test_a_tied_table_is_on_the_device_once(pair_of, networks):
    model = pair_of(networks, tied_token_embedding_weight=True)
    params = Weights(model, "float32", profile=NO_ROOM)
    (one,), (two,) = (tables(params, side) for side in (0, 1))
    assert one.unsafe_buffer_pointer() == two.unsafe_buffer_pointer()


@pytest.mark.parametrize("room", [0, 2**29])
def test_all_is_on_the_device_that_is_asked_for(pair_of, room):
    device, profile = jax.devices()[2], CPU._replace(max_folded_bytes=room)
    params = Weights(pair_of(("hcnn", "bilstm")), "float32", device, profile)
    leaves = jax.tree.leaves([params.get_encoder(0), params.get_encoder(1), params.head])
    assert {leaf.device for leaf in leaves} == {device}


@pytest.mark.parametrize("networks", PAIRS, ids="-".join)
def test_bfloat16_folds_no_encoder(pair_of, networks):
    model = pair_of(networks)
    assert_not_folded(Weights(model, "bfloat16"), model)


@pytest.mark.parametrize("dtype", ["float32", "tensorfloat32"])
@pytest.mark.parametrize("networks", PAIRS, ids="-".join)
def test_the_profiles_of_other_devices_give_the_same_encodings(pair_of, networks, dtype):
    model, ids = pair_of(networks), np.array([[3, 0, 4, 9], [7, 7, 0, 0], [0, 0, 0, 0]], np.int32)
    expected = Weights(model, "float32", profile=SMALL)
    found = Weights(model, dtype, profile=ACCELERATOR)
    for side in (0, 1):
        one, two = (
            p.compile_encode(3, side, *ids.shape)(
                p.make_table(3), p.first_row, *p.get_encoder(side), ids
            )[0]
            for p in (expected, found)
        )
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)


def test_no_layer_takes_winograd_with_the_profiles_of_other_devices(pair_of):
    model = pair_of(("hcnn", "hcnn"), enc0_layers=2)
    names = {"float32": "windows", "tensorfloat32": "weight"}
    for dtype, name in names.items():
        (params,) = Weights(model, dtype, profile=ACCELERATOR).get_encoder(0)
        assert set(params["layer_1"]) == {"bias", name}


def assert_not_folded(params, model):
    for side, name in enumerate(("source", "target")):
        original = model.params[f"embed_{side}"]["weight"], model.params.get(name, {})
        shapes = [jax.tree.map(np.shape, tree) for tree in (params.get_encoder(side), original)]
        assert shapes[0] == shapes[1]


def test_a_linear_head_is_folded_whatever_the_encoders_are(pair_of):
    for dtype in ("float32", "bfloat16"):
        params = Weights(pair_of(("hcnn", "hcnn"), mlp_activation="linear"), dtype)
        assert list(params.head) == ["output_layer"]
