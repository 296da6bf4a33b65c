"""Batches are started a few ahead, fetched in order, and land in their rows."""

import numpy as np
import pytest

from o2v_jax.scoring.buckets import make_bucket_table, plan
from o2v_jax.scoring.executor import ResultFetcher

MAX_IN_FLIGHT = 8


class Result:
    """Values that note when they come to the host."""

    def __init__(self, values, fetched):
        self.values, self.fetched = values, fetched

    def copy_to_host_async(self):
        """Begins what `__array__` waits for."""

    def __array__(self, *_args, **_kwargs):
        self.fetched.append(1)
        return self.values


def test_rows_land_where_they_belong_and_few_results_are_in_flight():
    rng = np.random.default_rng(0)
    steps = plan(rng.integers(1, 20, 700), make_bucket_table((5, 20), 64))
    fetched, most, out = [], [], np.empty((700, 1), np.float32)
    with ResultFetcher(out, MAX_IN_FLIGHT) as results:
        for number, step in enumerate(steps):
            most.append(number - len(fetched))
            values = np.full((step.batch, 1), -1.0, np.float32)
            values[: len(step.rows), 0] = step.rows
            results.add(step.rows, Result(values, fetched))
    np.testing.assert_array_equal(out[:, 0], np.arange(700))
    assert max(most) <= MAX_IN_FLIGHT < len(steps)


def test_after_an_error_nothing_is_waited_for():
    fetched = []
    results = ResultFetcher(np.empty((1, 1), np.float32), MAX_IN_FLIGHT)
    results.add(np.array([0]), Result(np.ones((1, 1)), fetched))
    with pytest.raises(ZeroDivisionError), results:
        raise ZeroDivisionError
    assert not fetched
