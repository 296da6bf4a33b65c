"""Steps are started a few ahead, fetched in order, and land in their rows."""

import numpy as np

from o2v_jax.buckets import plan, shapes
from o2v_jax.scoring.pipeline import STEPS_AHEAD, run_steps


class Result:
    """Values that note when they come to the host."""

    def __init__(self, values, fetched):
        self.values, self.fetched = values, fetched

    def copy_to_host_async(self):
        """Begins what `__array__` waits for."""

    def __array__(self, *_args, **_kwargs):
        self.fetched.append(1)
        return self.values


def test_rows_land_where_they_belong_and_few_steps_are_in_flight():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 20, 700)
    started, fetched, most = [], [], []

    def start(step):
        started.append(1)
        most.append(len(started) - len(fetched))
        values = np.full((step.batch, 1), -1.0, np.float32)
        values[: len(step.rows), 0] = step.rows
        return Result(values, fetched)

    steps = plan(lengths, shapes((5, 20), 64))
    out = run_steps(steps, start, np.empty((700, 1), np.float32))
    np.testing.assert_array_equal(out[:, 0], np.arange(700))
    assert max(most) <= STEPS_AHEAD + 1 < len(steps)
