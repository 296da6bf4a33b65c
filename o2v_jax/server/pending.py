"""A request between its queue and its response, and what every route that takes a body does."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from o2v_jax.data import Format
from o2v_jax.server.batcher import Batcher
from o2v_jax.server.queue import ScoringFuture


@dataclass(slots=True)
class Pending:
    """A request whose records are queued. Close it once it is answered or given up.

    Attributes:
        format: of the response.
        futures: the results of the device, one for each task; empty if there are no records.
        stream: what a long response holds until it is sent; None for short ones.
        batcher: where the futures wait.
        held: its shares of the limits.
    """

    format: Format
    futures: Sequence[ScoringFuture]
    stream: ExitStack | None
    batcher: Batcher
    held: ExitStack

    @property
    def awaited(self) -> Sequence[Future[Any]]:
        """The futures that are done once the request can be answered."""
        return self.futures

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


class Operation(Protocol):
    """What one route does with a body."""

    def submit(
        self,
        body: bytes,
        content_type: str | None,
        accept: str | None,
        limits: ExitStack,
        query: str = "",
    ) -> Pending:
        """Decodes the body of a request and queues its records.

        Args:
            body: the whole body.
            content_type: the header, if there is one.
            accept: the header, if there is one.
            limits: what `Service.admit` returned. What is returned takes it over.
            query: of the URL, without the question mark.

        Raises:
            RecordError, InputError: the request is wrong, or the server is busy.
        """

    def finish(self, pending: Any) -> Answer:
        """Waits for the results of what `submit` returned, and encodes them.

        Raises:
            BusyError: no device was free in time, or the server is stopping.
            BatchFailedError: the records could not be scored.
        """
