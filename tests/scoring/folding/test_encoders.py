"""Both folded encoders: a row's position changes nothing, nor what the table holds for id 0."""

import jax
import numpy as np
import pytest

from o2v_jax.scoring.folding import count_folded_bytes, is_foldable

pytestmark = pytest.mark.slow

ENCODERS = {
    "hcnn": {"enc0_layers": 2},
    "hcnn of even width": {"enc0_layers": 2, "enc0_cnn_filter_width": 4},
    "hcnn without winograd": {"enc0_layers": 2, "enc0_cnn_filter_width": 7},
    "bilstm": {"enc0_network": "bilstm", "enc0_layers": 2},
}
SAME = {"rtol": 1e-6, "atol": 1e-6}


@pytest.fixture(params=ENCODERS)
def model(request, config_of, model_of):
    return model_of(config_of(**ENCODERS[request.param]))


def test_a_row_is_the_same_wherever_it_stands(model, encoder_of, rows, tokens):
    encode = encoder_of(model, tokens)
    alone = np.concatenate([encode([row], 14) for row in rows])
    np.testing.assert_allclose(encode([*rows, *rows[::-1]], 19), [*alone, *alone[::-1]], **SAME)
    np.testing.assert_allclose(encode(rows[2:5]), alone[2:5], **SAME)
    np.testing.assert_allclose(encode(rows[2:3]), alone[2:3], **SAME)
    np.testing.assert_array_equal(alone[:2], 0.0)
    assert np.abs(alone[2:]).max(axis=1).min() > 1e-2


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_the_vector_of_id_0_is_never_read(model, encoder_of, rows, tokens, poison):
    """The warning of a product that nobody reads would be one too many."""
    table = model.params["embed_0"]["weight"].copy()
    table[0] = poison
    found = encoder_of(model, tokens, table)(rows)
    np.testing.assert_array_equal(found, encoder_of(model, tokens)(rows))


def test_folding_leaves_the_parameters_of_the_model_as_they_were(config_of, model_of, folded_of):
    for encoder in ENCODERS.values():
        model, fresh = (model_of(config_of(**encoder)) for _ in range(2))
        folded_of(model, tokens=True)
        jax.tree.map(np.testing.assert_array_equal, model.params, fresh.params)


def test_folded_tokens_are_as_large_as_foretold(model, folded_of):
    assert folded_of(model, tokens=True)["tokens"].nbytes == count_folded_bytes(
        model.config.encoder(0)
    )


def test_a_table_that_is_not_folded_is_handed_on(model, folded_of):
    assert folded_of(model, tokens=False)["tokens"] is model.params["embed_0"]["weight"]


def test_parameters_are_float32(model, folded_of, tokens):
    leaves = jax.tree.leaves(folded_of(model, tokens))
    assert {leaf.dtype for leaf in leaves} == {np.dtype(np.float32)}


def test_a_pooled_embedding_has_nothing_to_fold(config_of):
    networks = "hcnn", "bilstm", "pooled_embedding"
    found = [is_foldable(config_of(enc0_network=network).encoder(0)) for network in networks]
    assert found == [True, True, False]
