"""Results on their way from the device to the host, a few at a time."""

from collections import deque
from types import TracebackType
from typing import Self

import jax
import numpy as np

# Enough to keep a device busy; more would only hold more batches in memory.
STEPS_AHEAD = 8


class Fetched:
    """Puts rows, as they come to the host, where they belong in `out`; all when the block ends.

    The device works on the next results while one is fetched, and memory does not grow with their
    number.
    """

    def __init__(self, out: Floats) -> None:
        self._out = out
        self._started: deque[tuple[RowNumbers, jax.Array]] = deque()

    def __enter__(self) -> Self:
        return self

    def later(self, rows: RowNumbers, result: jax.Array) -> None:
        """Has these rows of `out` filled with the first ones of a result."""
        result.copy_to_host_async()
        self._started.append((rows, result))
        if len(self._started) > STEPS_AHEAD:
            self._fetch()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        while self._started and error is None:
            self._fetch()

    def _fetch(self) -> None:
        rows, result = self._started.popleft()
        # to the host first: a cut on the device would compile once per size
        self._out[rows] = np.asarray(result)[: len(rows)]
