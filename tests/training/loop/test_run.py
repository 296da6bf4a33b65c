"""What a run keeps, when its last epoch is not its best."""

import io

import numpy as np
import pytest

from o2v_jax.data.ragged import Ragged
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.training.data.dataset import Dataset
from o2v_jax.training.loop.run import Run
from o2v_jax.training.report.metric_lines import Reporter

pytestmark = pytest.mark.slow


def noise(records, seed):
    """Pairs whose labels follow from nothing, so that a run can only learn them by heart."""
    rng = np.random.default_rng(seed)
    in0, in1 = (Ragged.of(rng.integers(1, 30, (records, 4))) for _ in range(2))
    return Dataset(in0, in1, rng.integers(0, 2, records).astype(np.float32))


@pytest.fixture(scope="module")
def run():
    config = Hyperparameters(
        enc0_max_seq_len=4,
        enc0_vocab_size=30,
        enc0_network="pooled_embedding",
        enc_dim=16,
        mlp_dim=16,
        learning_rate=0.02,
        epochs=12,
        early_stopping_patience=2,
    )
    run = Run(config, noise(200, 0), noise(100, 1), reporter=Reporter(stream=io.StringIO()))
    run.fit()
    return run


def test_the_best_epochs_parameters_are_kept_not_the_last(run):
    losses = [epoch["validation"]["cross_entropy"] for epoch in run.history]
    best = run.metrics["best_epoch"]
    assert best == int(np.argmin(losses)) < len(losses) - 1
    kept = run.evaluate(run.params, run.validation)["cross_entropy"]
    assert kept == pytest.approx(losses[best], rel=1e-6)
    assert abs(losses[-1] - losses[best]) > 0.01


def test_it_stops_early(run):
    assert len(run.history) < run.config.epochs
    assert "Early stopping after epoch" in run.reporter.stream.getvalue()
