"""A request between its queue and its response."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from o2v_jax.data import Format, Records
from o2v_jax.server.batcher import Batcher
from o2v_jax.server.queue import ScoringFuture


@dataclass(slots=True)
class Invocation:
    """A request whose records are queued. Close it once it is answered or given up.

    Attributes:
        records: decoded and validated.
        format: of the response.
        futures: the results, one for each task; empty if there are no records.
        stream: what a long response holds until it is sent; None for short ones.
        batcher: where the futures wait.
        class_names: the names to put into the response; empty unless labels were asked for.
        held: its shares of the limits.
    """

    records: Records
    format: Format
    futures: Sequence[ScoringFuture]
    stream: ExitStack | None
    batcher: Batcher
    class_names: Sequence[str]
    held: ExitStack

    def withdraw(self) -> None:
        """Cancels what no device has started."""
        for future in self.futures:
            future.cancel()

    def abandon(self) -> None:
        """Cancels everything that is not finished."""
        for future in self.futures:
            self.batcher.abandon(future)

    def close(self) -> None:
        """Cancels everything that is not finished, and releases the limits."""
        self.abandon()
        self.held.close()


class Answer(NamedTuple):
    """The body of a response, whole or in pieces. Close it once it is sent, or given up."""

    body: bytes | Iterator[bytes]
    format: Format
    close: Callable[[], None]
