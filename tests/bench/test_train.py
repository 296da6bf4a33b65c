"""The training benchmark: its data, and where PyTorch is installed a run against it."""

import importlib

import jax
import numpy as np
import pytest

from bench.workloads import make_document_workload, make_sentence_workload
from o2v_jax import Model
from o2v_jax.training.optim.step import init_state, make_evaluation_step, make_train_step

pytestmark = pytest.mark.slow


def test_types_are_spread_over_the_vocabulary_and_as_frequent_as_words():
    small, large = (
        make_document_workload("row_sparse", 3000, 300),
        make_document_workload("row_sparse", 30_000, 300),
    )
    few, many = (workload.make_dataset(400) for workload in (small, large))
    np.testing.assert_array_equal(few.in1.offsets, many.in1.offsets)
    assert len(np.unique(few.in1.ids)) == len(np.unique(many.in1.ids)) > 200
    assert many.in1.ids.max() > 20_000
    counts = np.bincount(few.in1.ids)
    assert counts[1] == counts.max() > 5 * np.median(counts[counts > 0])


@pytest.mark.parametrize("network", ["hcnn", "bilstm", "row_sparse", "dense"])
def test_the_peer_trains_like_us(network):
    torch_trainer = pytest.importorskip(
        "bench.torch_trainer", reason="the bench extra, which brings PyTorch, is not installed"
    )
    workload = (
        make_document_workload(network, 500) if "e" in network else make_sentence_workload(network)
    )
    config = workload.config.from_strings(
        workload.config.to_strings() | {"mini_batch_size": "8", "dropout": "0"}
    )
    batches = type(workload)("small", config, workload.lengths, workload.types).make_batches(8)[:3]
    state, step = init_state(config, 0), make_train_step(config)
    peer = torch_trainer.TorchTrainer(Model(config, jax.device_get(state.params)), "cpu")
    for batch in batches:
        expected = make_evaluation_step(config)(state.params, batch).mean_loss()
        assert peer.compute_loss(peer.prepare(batch)) == pytest.approx(expected, rel=2e-3)
        state, _ = step(state, batch)
        peer.step(peer.prepare(batch))


def test_the_command_writes_its_results(measured, needs):
    needs("torch")
    train = importlib.import_module("bench.train")
    results = measured(train.main, "--only", "document, row_sparse", "--steps", 2, "--rounds", 1)
    (row,) = results["rows"]
    assert row["ratio"] > 0
    assert row["batch"] == 512
