"""The folded hcnn against the NumPy reference, and its rows, none of which sees another."""

import numpy as np
import pytest
from reference import network as reference

pytestmark = pytest.mark.slow

NEAR = {"rtol": 1e-5, "atol": 1e-5}


def assert_as_the_reference(model, encode, rows):
    expected = reference.encodings(model.config, model.params, 0, rows)
    assert expected[2:].max(axis=1).min() > 1e-2
    np.testing.assert_allclose(encode(rows), expected, **NEAR)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_layers(config_of, model_of, encoder_of, rows, layers, tokens):
    model = model_of(config_of(enc_dim=12, enc0_layers=layers))
    assert_as_the_reference(model, encoder_of(model, tokens), rows)


@pytest.mark.parametrize("width", range(1, 10))
def test_filter_widths(config_of, model_of, encoder_of, rows, width, tokens):
    model = model_of(config_of(enc0_layers=2, enc0_cnn_filter_width=width))
    assert_as_the_reference(model, encoder_of(model, tokens), rows)


@pytest.mark.parametrize("neighbour", [1e3, np.nan])
@pytest.mark.parametrize("width", [2, 3, 4, 5, 6, 9])
def test_no_row_reaches_into_its_neighbours(
    config_of, model_of, encoder_of, width, tokens, neighbour
):
    model = model_of(config_of(enc0_layers=2, enc0_cnn_filter_width=width))
    table = model.params["embed_0"]["weight"].copy()
    table[10:] = neighbour
    encode, small, other = encoder_of(model, tokens, table), [1, 2, 3, 4, 5], [15, 14, 13, 12, 11]
    found = encode([other, small, other, other, small, other, small, small, other])[[1, 4, 6, 7]]
    np.testing.assert_allclose(found, encode([small] * 9)[:4], rtol=1e-6, atol=1e-6)


def test_tokens_hold_what_they_add_at_each_place_of_a_filter(config_of, model_of, folded_of):
    model = model_of(config_of(enc0_layers=2, enc0_cnn_filter_width=4))
    table, weight = model.params["embed_0"]["weight"], model.params["source"]["layer_0"]["weight"]
    folded = folded_of(model, tokens=True)
    expected = np.einsum("vi,wif->vwf", table, weight)
    expected[0] = 0
    np.testing.assert_allclose(folded["tokens"], expected, **NEAR)
    assert set(folded["layer_0"]) == {"bias"}
