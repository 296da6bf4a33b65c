"""Lanes: batches are shared out evenly, and each lane's programs run in a stream of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxlib import xla_client

from o2v_jax.scoring.programs import rows_of
from o2v_jax.scoring.schedule import START, Lane, Place, shared_out

pytestmark = pytest.mark.slow


def test_each_batch_goes_where_there_is_least_to_do():
    found = shared_out([9, 5, 3, 1], [4, 2, 2, 1], lanes=2, capacity=100)
    assert found == [Place(0, 0), Place(1, 0), Place(1, 2), Place(0, 4)]


def test_little_to_do_stays_in_one_lane():
    assert shared_out([START, 1], [4, 2], lanes=2, capacity=6) == [Place(0, 0), Place(0, 4)]
    assert shared_out([START + 1, 1], [4, 2], lanes=2, capacity=6) == [Place(0, 0), Place(1, 0)]
    assert shared_out([1, 1], [4, 4], lanes=2, capacity=6) == [Place(0, 0), Place(1, 0)]


def test_one_lane_takes_all():
    assert shared_out([3, 2], [4, 2], lanes=1, capacity=6) == [Place(0, 0), Place(0, 4)]


def test_a_full_lane_takes_no_more():
    assert shared_out([9, 1, 1], [1, 4, 4], lanes=2, capacity=5)[2] == Place(0, 1)
    assert shared_out([9, 1, 1], [2, 4, 4], lanes=2, capacity=5) is None


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_no_two_batches_share_a_row_and_no_lane_has_much_more_to_do(lanes):
    rng = np.random.default_rng(lanes)
    costs = np.sort(rng.exponential(size=200))[::-1]
    batches = rng.integers(1, 20, 200)
    found = shared_out(costs.tolist(), batches.tolist(), lanes, capacity=4000)
    used = {
        (lane, row + k) for (lane, row), n in zip(found, batches, strict=True) for k in range(n)
    }
    assert len(used) == batches.sum()
    assert max(row for _, row in used) < 4000
    load = np.bincount([lane for lane, _ in found], weights=costs, minlength=lanes)
    load[1:] += START
    assert np.ptp(load) < 0.01 * load.mean()


def test_programs_of_a_lane_are_started_in_its_stream():
    """What this relies on is not documented: here it shows if JAX goes without it."""
    one, two = Lane(jnp.zeros(1)), Lane(jnp.zeros(1))
    before = xla_client._xla.get_execution_stream_id()
    assert len({before, one.stream, two.stream}) == 3
    with one.running():
        assert xla_client._xla.get_execution_stream_id() == one.stream
    assert xla_client._xla.get_execution_stream_id() == before


@pytest.mark.parametrize("count", [1, 2, 4])
def test_rows_are_counted_through_all_tables(count):
    tables = np.arange(count * 3 * 2, dtype=np.float32).reshape(count, 3, 2)
    rows = np.random.default_rng(0).permutation(count * 3).astype(np.int32)
    found = jax.jit(rows_of)(tuple(tables), rows)
    np.testing.assert_array_equal(found, tables.reshape(-1, 2)[rows])
