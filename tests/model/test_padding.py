"""Nothing depends on padding: not on how much there is, and not on what the table holds for it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from o2v_jax import Scorer, logits_fn
from o2v_jax.model import encoder_fn

pytestmark = pytest.mark.slow

ENCODERS = {
    "hcnn": {"enc0_network": "hcnn"},
    "hcnn of even width": {"enc0_network": "hcnn", "enc0_cnn_filter_width": 6, "enc0_layers": 2},
    "bilstm": {"enc0_network": "bilstm", "enc0_layers": 2},
    "pooled": {"enc0_network": "pooled_embedding"},
}
ROWS = [[3, 0, 4], [], [0, 2, 2], [7]]
SAME = {"rtol": 1e-6, "atol": 1e-6}


@pytest.fixture(params=ENCODERS)
def model(request, config_of, model_of):
    return model_of(config_of(**ENCODERS[request.param]))


def encoder(model):
    """A jitted function of ids, and optionally of another token table."""
    weights, own = model.params.get("source", {}), model.params["embed_0"]["weight"]
    encode = jax.jit(encoder_fn(model.config.encoder(0)))
    return lambda ids, table=own: np.asarray(encode(table, weights, ids))


def padded(rows, length):
    return np.array([[*row, *[0] * (length - len(row))] for row in rows], np.int32)


def poisoned(table):
    return np.concatenate([np.full_like(table[:1], np.nan), table[1:]])


def test_alone_in_a_batch_and_in_a_larger_bucket(model):
    encode = encoder(model)
    alone = np.concatenate([encode(padded([row], max(len(row), 1))) for row in ROWS])
    np.testing.assert_allclose(encode(padded(ROWS, 3)), alone, **SAME)
    np.testing.assert_allclose(encode(padded(ROWS[::-1], 16))[::-1], alone, **SAME)
    assert np.abs(alone[[0, 2, 3]]).max(axis=1).min() > 1e-2


def test_a_sequence_without_tokens_is_the_zero_vector(model):
    np.testing.assert_array_equal(encoder(model)(np.zeros((2, 5), np.int32)), 0.0)


def test_the_vector_of_id_0_is_never_read(model):
    encode, ids = encoder(model), padded(ROWS, 16)
    table = poisoned(model.params["embed_0"]["weight"])
    np.testing.assert_array_equal(encode(ids, table), encode(ids))


def test_gradient_is_zero_for_id_0_and_finite_everywhere(model):
    config, ids = model.config, padded(ROWS, 8)
    params = model.params | {"embed_0": {"weight": poisoned(model.params["embed_0"]["weight"])}}
    total = jax.jit(jax.grad(lambda params: logits_fn(config)(params, ids, ids[::-1]).sum()))
    gradient = total(jax.tree.map(jnp.asarray, params))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    for name in ("embed_0", "embed_1"):
        moved = np.abs(gradient[name]["weight"]).max(axis=1) > 0
        assert moved[[2, 3, 4, 7]].any()
        assert not moved[[0, 1, 5, 6]].any()


def test_scores_with_a_poisoned_table(config_of, model_of):
    model = model_of(config_of(enc1_network="pooled_embedding"))
    params = model.params | {"embed_0": {"weight": poisoned(model.params["embed_0"]["weight"])}}
    clean, dirty = (
        Scorer(either, max_programs=24).score(ROWS, ROWS[::-1])
        for either in (model, type(model)(model.config, params))
    )
    np.testing.assert_array_equal(dirty, clean)


def test_an_id_0_inside_keeps_its_place_for_hcnn_only(config_of, model_of):
    same = []
    for network in ("hcnn", "bilstm", "pooled_embedding"):
        encodings = encoder(model_of(config_of(enc0_network=network)))(
            np.array([[3, 0, 4], [3, 4, 0]], np.int32)
        )
        same.append(bool(np.allclose(*encodings, **SAME)))
    assert same == [False, True, True]
