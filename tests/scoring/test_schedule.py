"""Batches are shared out evenly among streams, and fit their tables."""

from functools import partial

import jax
import numpy as np
import pytest

from o2v_jax.scoring.programs import take_from_tables
from o2v_jax.scoring.schedule import Capacity, Slot, assign_slots

START_COST = 3.0
assign = partial(assign_slots, start_cost=START_COST)


def test_each_batch_goes_where_there_is_least_to_do():
    found = assign([9, 5, 3, 1], [4, 2, 2, 1], Capacity(2, 100))
    assert found == [Slot(0, 0), Slot(1, 0), Slot(1, 2), Slot(0, 4)]


def test_little_to_do_stays_in_one_stream():
    room = Capacity(2, 6)
    assert assign([START_COST, 1], [4, 2], room) == [Slot(0, 0), Slot(0, 4)]
    assert assign([START_COST + 1, 1], [4, 2], room) == [Slot(0, 0), Slot(1, 0)]
    assert assign([1, 1], [4, 4], room) == [Slot(0, 0), Slot(1, 0)]


def test_one_stream_takes_all():
    assert assign([3, 2], [4, 2], Capacity(1, 6)) == [Slot(0, 0), Slot(0, 4)]


def test_a_full_stream_takes_no_more():
    assert assign([9, 1, 1], [1, 4, 4], Capacity(2, 5))[2] == Slot(0, 1)
    assert assign([9, 1, 1], [2, 4, 4], Capacity(2, 5)) is None


@pytest.mark.parametrize("streams", [1, 2, 5])
def test_no_two_batches_share_a_row_and_no_stream_has_much_more_to_do(streams):
    rng = np.random.default_rng(streams)
    costs = np.sort(rng.exponential(size=200))[::-1]
    batches = rng.integers(1, 20, 200)
    found = assign(costs.tolist(), batches.tolist(), Capacity(streams, 4000))
    used = {
        (stream, row + k) for (stream, row), n in zip(found, batches, strict=True) for k in range(n)
    }
    assert len(used) == batches.sum()
    assert max(row for _, row in used) < 4000
    load = np.bincount([stream for stream, _ in found], weights=costs, minlength=streams)
    load[1:] += START_COST
    assert np.ptp(load) < 0.01 * load.mean()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_rows_are_counted_through_all_tables(count):
    tables = np.arange(count * 3 * 2, dtype=np.float32).reshape(count, 3, 2)
    rows = np.random.default_rng(0).permutation(count * 3).astype(np.int32)
    found = jax.jit(take_from_tables)(tuple(tables), rows)
    np.testing.assert_array_equal(found, tables.reshape(-1, 2)[rows])
