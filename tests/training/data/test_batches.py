"""Batches hold every record once, padded, and rows that fill them weigh nothing."""

import numpy as np
import pytest

from o2v_jax.data.ragged import Ragged
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.training.data.batches import DataLoader
from o2v_jax.training.data.dataset import Dataset


def data_of(records: int, seed: int = 0) -> Dataset:
    """Records whose label is their number, so that none can be mistaken for another."""
    rng = np.random.default_rng(seed)

    def side() -> Ragged:
        return Ragged.of(
            [rng.integers(1, 50, rng.integers(0, 30)).tolist() for _ in range(records)]
        )

    return Dataset(side(), side(), np.arange(records, dtype=np.float32))


def config_of(**settings) -> Hyperparameters:
    defaults = {"enc0_max_seq_len": 30, "enc0_vocab_size": 50, "enc_dim": 16, "mini_batch_size": 8}
    return Hyperparameters(**{**defaults, **settings})


@pytest.mark.parametrize("bucket_width", [0, 5])
def test_an_epoch_holds_every_record_once(bucket_width):
    data = data_of(29)
    batches = list(
        DataLoader.of(config_of(bucket_width=bucket_width), data).iterate_epoch(
            data, np.random.default_rng(1)
        )
    )
    labels = np.concatenate([batch.labels[batch.weights > 0] for batch in batches])
    assert sorted(labels) == list(range(29))
    assert len(batches) == 4
    assert sum(batch.weights.sum() for batch in batches) == 29


def test_rows_keep_their_tokens():
    data = data_of(20)
    for batch in DataLoader.of(config_of(), data).iterate_epoch(data, np.random.default_rng(1)):
        for row in np.flatnonzero(batch.weights):
            record = int(batch.labels[row])
            for padded, side in ((batch.in0, data.in0), (batch.in1, data.in1)):
                expected = side.row(record)
                assert padded[row, : len(expected)].tolist() == expected.tolist()
                assert not padded[row, len(expected) :].any()


def test_order_is_the_rngs():
    data = data_of(40)
    loader = DataLoader.of(config_of(), data)
    once, again, other = (
        [batch.labels.tolist() for batch in loader.iterate_epoch(data, np.random.default_rng(seed))]
        for seed in (1, 1, 2)
    )
    assert once == again
    assert once != other


def test_bucket_width_groups_lengths_and_pads_less():
    data = data_of(400)

    def padded_tokens(width: int) -> int:
        loader = DataLoader.of(config_of(bucket_width=width), data)
        return sum(
            b.in0.size + b.in1.size for b in loader.iterate_epoch(data, np.random.default_rng(1))
        )

    assert padded_tokens(5) < 0.9 * padded_tokens(0)


def test_batches_are_padded_to_few_lengths():
    data = data_of(400)
    loader = DataLoader.of(config_of(bucket_width=1), data)
    shapes = {b.in0.shape for b in loader.iterate_epoch(data, np.random.default_rng(1))}
    assert 1 < len(shapes) <= 5
