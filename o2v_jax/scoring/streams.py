"""Streams: programs of one stream run in order, those of different streams at the same time."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

import jax

Encode: TypeAlias = Callable[..., tuple[jax.Array, jax.Array]]


class Stream:
    """A table of encodings on the device, and the programs that write into it.

    A device runs what one thread starts in order. So the first stream of a call is the caller's
    thread, and each other one has a thread of its own, if the device profile says so.

    Args:
        encodings: float32 `[rows, enc_dim]`; every program takes the table over.
        in_thread: whether programs are started in a thread of the stream's own.

    Attributes:
        encodings: the table, once `wait` has returned.
        next_row: the first one that is free, int32, on the device.
    """

    def __init__(self, encodings: jax.Array, *, in_thread: bool) -> None:
        self.encodings = encodings
        self.next_row: Any = None
        self._thread = ThreadPoolExecutor(1, "o2v-stream") if in_thread else None
        self._started: list[Future[None]] = []

    def run(self, encode: Encode, *arguments: Any) -> None:
        """Has a program write into the table from `next_row` on."""
        if self._thread is None:
            self._write(encode, *arguments)
        else:
            self._started.append(self._thread.submit(self._write, encode, *arguments))

    def wait(self) -> None:
        """Waits until all programs are started, not until they end; raises what failed."""
        started, self._started = self._started, []
        for future in started:
            future.result()

    def _write(self, encode: Encode, *arguments: Any) -> None:
        self.encodings, self.next_row = encode(self.encodings, self.next_row, *arguments)
