"""Batches hold every record once, padded, and rows that fill them weigh nothing."""

from dataclasses import replace

import numpy as np
import pytest

from o2v_jax.data.negatives import NO_NEGATIVES, Negatives
from o2v_jax.data.ragged import Ragged
from o2v_jax.hyperparameters import Hyperparameters, InBatchObjective
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


def hard_data(counts, seed=0):
    """Pairs that have so many hard negatives, each of a token of its own from 100 on."""
    rng = np.random.default_rng(seed)
    records, tokens = len(counts), iter(range(100, 1000))
    in0, in1 = (Ragged.of(rng.integers(1, 50, (records, length))) for length in (3, 2))
    lists = [[[next(tokens)] * (1 + n) for n in range(count)] for count in counts]
    return Dataset(in0, in1, np.ones(records, np.float32), negatives=Negatives.of(lists))


def take_part(loader, data, seed):
    """The hard negatives of each batch of an epoch, by their tokens."""
    batches = loader.iterate_epoch(data, np.random.default_rng(seed))
    return [sorted({*batch.in1[loader.size :, 0].tolist()} - {0}) for batch in batches]


IN_BATCH = {"enc0_vocab_size": 1000, "objective": InBatchObjective(negatives_per_pair=2)}


def test_hard_negatives_stand_behind_the_in1_of_all_pairs():
    data = hard_data([0, 1, 0, 0, 0, 3, 0] * 3)
    loader = DataLoader.of(config_of(**IN_BATCH), data)
    assert 0 < loader.slots < 16
    for batch in loader.iterate_epoch(data, np.random.default_rng(1)):
        assert batch.in1.shape[0] == 8 + loader.slots == len(batch.in_batch.groups[1])
        assert batch.in0.shape[0] == 8 == len(batch.in_batch.groups[0])
        filled = batch.in1.any(axis=1)
        np.testing.assert_array_equal(batch.in_batch.groups[1] > 0, filled)
        np.testing.assert_array_equal(filled[:8], batch.weights > 0)
    epochs = [take_part(loader, data, seed) for seed in range(8)]
    assert epochs[0] == take_part(loader, data, 0)
    assert {*range(100, 112)} == {token for epoch in epochs for batch in epoch for token in batch}


def test_a_batch_has_room_for_few_negatives_and_leaves_out_the_rest():
    data = hard_data([2] * 8)
    loader = replace(DataLoader.of(config_of(**IN_BATCH), data), slots=5)
    (batch,) = take_part(loader, data, 0)
    assert len(batch) == 5


def test_batches_that_are_left_out_change_nothing_in_the_others():
    data = hard_data([3] * 20)
    loader = DataLoader.of(config_of(**IN_BATCH, bucket_width=1), data)
    whole, rest = (
        list(loader.iterate_epoch(data, np.random.default_rng(1), first)) for first in (0, 1)
    )
    for one, other in zip(whole[1:], rest, strict=True):
        np.testing.assert_array_equal(one.in1, other.in1)


@pytest.mark.parametrize("objective", [None, InBatchObjective(negatives_per_pair=0)])
def test_without_a_use_for_hard_negatives_batches_are_as_if_there_were_none(objective):
    data = hard_data([1] * 9)
    bare = replace(data, negatives=NO_NEGATIVES)
    config = config_of(enc0_vocab_size=1000, objective=objective, bucket_width=1)
    batches = [
        list(DataLoader.of(config, each).iterate_epoch(each, np.random.default_rng(1)))
        for each in (data, bare)
    ]
    for one, other in zip(*batches, strict=True):
        np.testing.assert_array_equal(one.in1, other.in1)
        assert len(one.in1) == 8
