"""Peers give the scores that we give, and say so where they cannot run."""

import numpy as np
import pytest

from bench import lengths
from bench.peers import NotAvailableError, start
from bench.peers.base import iterate_sorted_batches
from o2v_jax import Ragged, Scorer

pytestmark = pytest.mark.slow

COMPARED = {"torch_eager": ("torch",), "onnxruntime": ("onnx", "onnxruntime")}
NETWORKS = [
    {"enc0_network": "hcnn", "enc0_layers": 2, "enc0_cnn_filter_width": 2},
    {"enc0_network": "hcnn", "enc0_cnn_filter_width": 3, "mlp_activation": "tanh"},
    {"enc0_network": "bilstm", "enc0_layers": 2, "mlp_activation": "linear"},
    {"enc0_network": "pooled_embedding", "tied_token_embedding_weight": False},
]


@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: str(list(network.values())))
def test_a_peer_scores_like_us(name, network, config_of, model_of, needs):
    needs(*COMPARED[name])
    model = model_of(config_of(**network))
    sides = _sides(model.config)
    (peer,), missing = start(model, "cpu", [name])
    peer.batch = 4
    expected = Scorer(model).score(*sides)
    np.testing.assert_allclose(peer.score(*sides), expected, atol=1e-5)
    ones = sides[0].take(np.zeros(9, np.int64)), sides[1]
    np.testing.assert_allclose(peer.score_one(*ones), peer.score(*ones), atol=1e-6)
    assert missing == {}


def test_batches_hold_rows_of_like_length_and_every_row_once():
    rows = Ragged.of([[1], [2, 2, 2], [], [3, 3]])
    batches = list(iterate_sorted_batches(rows, 2))
    assert [places.tolist() for places, _ in batches] == [[1, 3], [0, 2]]
    assert [batch.lengths.tolist() for _, batch in batches] == [[3, 2], [1, 0]]


def test_a_device_that_is_not_there_is_a_reason(config_of, model_of, needs):
    needs("torch")
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    peers, missing = start(model_of(config_of()), "gpu", ["torch_eager"])
    assert peers == []
    assert missing == {"torch_eager": "this PyTorch finds no GPU"}


def test_the_reason_is_an_error_of_its_own():
    assert issubclass(NotAvailableError, Exception)


def _sides(config):
    counts = np.array([0, 3, 2, 1, 1, 0, 0, 1])
    return tuple(lengths.draw(counts, 9, config.enc0_vocab_size, seed) for seed in (0, 1))
