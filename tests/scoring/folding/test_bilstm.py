"""The folded bilstm against the NumPy reference."""

import numpy as np
import pytest
from reference import network as reference

pytestmark = pytest.mark.slow

NEAR = {"rtol": 1e-5, "atol": 1e-5}


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_layers(config_of, model_of, encoder_of, rows, layers, tokens):
    model = model_of(config_of(enc0_network="bilstm", enc0_layers=layers))
    expected = reference.encodings(model.config, model.params, 0, rows)
    assert np.abs(expected[2:]).max(axis=1).min() > 1e-2
    np.testing.assert_allclose(encoder_of(model, tokens)(rows), expected, **NEAR)


def test_zeros_are_no_steps(config_of, model_of, encoder_of, tokens):
    """Unlike in an hcnn, where a zero keeps its position."""
    encode = encoder_of(model_of(config_of(enc0_network="bilstm", enc0_layers=2)), tokens)
    other, found, *same = encode([[3, 5, 4], [3, 4, 5], [3, 0, 4, 0, 0, 5], [0, 3, 4, 5]])
    np.testing.assert_allclose(same, [found] * 2, rtol=1e-6, atol=1e-6)
    assert np.abs(other - found).max() > 1e-2


def test_tokens_hold_their_share_of_the_gates(config_of, model_of, folded_of):
    model = model_of(config_of(enc0_network="bilstm", enc0_layers=2))
    table, folded = model.params["embed_0"]["weight"], folded_of(model, tokens=True)
    ways = [model.params["source"][f"{way}_0"] for way in ("forward", "backward")]
    expected = np.stack([table @ way["weight_input"] + way["bias"] for way in ways])
    expected[:, 0] = 0
    np.testing.assert_allclose(folded["tokens"], expected, **NEAR)
    assert set(folded["layer_0"]) == {"hidden"}
