"""Running the steps of a plan, a few ahead of what has been fetched."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

import jax
import numpy as np
import numpy.typing as npt

from o2v_jax.buckets import Step

Floats: TypeAlias = npt.NDArray[np.float32]

# Enough to keep a device busy; more would only hold more batches in memory.
STEPS_AHEAD = 8


def run_steps(steps: Iterable[Step], start: Callable[[Step], jax.Array], out: Floats) -> Floats:
    """Starts every step and puts its rows, as they come to the host, where they belong in `out`.

    `start` begins a step on the device and returns its rows, padding last. The device works on the
    next steps while one is fetched, and memory does not grow with the number of steps.
    """
    started: deque[tuple[Step, jax.Array]] = deque()
    for step in steps:
        started.append((step, start(step)))
        if len(started) > STEPS_AHEAD:
            _fetch(*started.popleft(), out)
    for step, result in started:
        _fetch(step, result, out)
    return out


def _fetch(step: Step, result: jax.Array, out: Floats) -> None:
    # to the host first: a cut on the device would compile once per size
    out[step.rows] = np.asarray(result)[: len(step.rows)]
