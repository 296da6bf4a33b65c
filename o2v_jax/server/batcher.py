"""Batches across requests.

Requests submit records and wait for a future. Whenever a device is free its thread forms a batch of
the queue, in the order of arrival: there is no batching delay when idle, a batch is formed as late
as possible, and nothing waits for a timer. With a backlog, a second thread prepares the next batch
while the device computes one. A large request is cut into chunks that take turns with other
requests, so that nobody waits for the whole of it.

A future that is cancelled before a device takes it leaves the queue: it is not scored.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from math import inf
from threading import Condition, RLock, Thread
from time import monotonic
from typing import Any, TypeAlias

from o2v_jax.array_types import Floats, Index
from o2v_jax.data.deduplicate import expand_rows, join_distinct
from o2v_jax.data.ragged import Ragged
from o2v_jax.server.errors import BatchFailedError, BusyError
from o2v_jax.server.queue import (
    BatchEntry,
    Queue,
    ScoringBatch,
    ScoringFuture,
    ScoringTask,
    Sides,
    Waiting,
)

Compute: TypeAlias = Callable[[ScoringTask, Sides], Floats]
Observe: TypeAlias = Callable[[int, int], None]

QUEUE_TIMEOUT_S = 20.0

log = logging.getLogger(__name__)


class Batcher:
    """Forms batches of the records that requests submit, in a thread for each device.

    Args:
        computes: for each device, a function that scores joined records for one task there; it
            returns float32 `[records, numbers]` in their order.
        chunk_tokens: see `Queue`.
        observe: called with the records and tokens of every batch.
        timeout_s: seconds that a request may wait before a device takes it.
        chunks_per_batch: see `Queue`.
        backlog: so many waiting chunks are taken although the device is busy; None: none ever are.
        on_results: called when results of a batch were given out.
    """

    def __init__(
        self,
        computes: Sequence[Compute],
        chunk_tokens: int,
        observe: Observe,
        timeout_s: float = QUEUE_TIMEOUT_S,
        *,
        chunks_per_batch: int,
        backlog: int | None = None,
        on_results: Callable[[], None] = lambda: None,
    ) -> None:
        self.timeout_s = timeout_s
        self._chunk_tokens = chunk_tokens
        self._observe = observe
        self._on_results = on_results
        self._queue = Queue(chunk_tokens, chunks_per_batch)
        self._unfinished: set[ScoringFuture] = set()
        self._closed = False
        self._idle = 0  # devices
        lock = RLock()
        self._queued = Condition(lock)
        self._backlogged = Condition(lock)
        self._backlog_tokens = inf if backlog is None else backlog * chunk_tokens
        thresholds: list[tuple[Condition, float]] = [(self._queued, 1)]
        if backlog is not None:
            thresholds.append((self._backlogged, self._backlog_tokens))
        self._running = len(computes) * len(thresholds)
        self._threads = [
            Thread(target=self._run, args=(compute, *each), name=f"device {number}", daemon=True)
            for number, compute in enumerate(computes)
            for each in thresholds
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether requests are still scored, by all devices."""
        return not self._closed

    @property
    def waiting(self) -> Waiting:
        """What no device has taken."""
        with self._queued:
            return self._queue.waiting

    def submit(self, task: ScoringTask, sides: Sides) -> ScoringFuture:
        """Queues records, at least one, whose sides were validated and cut.

        Callbacks of the future are called by any thread, which may hold locks: they must not block.

        Raises:
            BusyError: the batcher has been closed.
        """
        future = ScoringFuture(task, sides, self._chunk_tokens)
        with self._queued:
            if self._closed:
                raise BusyError("the server is stopping")
            self._queue.append(future)
            self._unfinished.add(future)
            self._wake()
        future.add_done_callback(self._forget)  # type: ignore[arg-type]
        return future

    def result(self, future: ScoringFuture) -> Floats:
        """Waits for the results, float32 `[records, numbers]`.

        Raises:
            BusyError: no device took it before the timeout, or the batcher was closed.
            BatchFailedError: it could not be scored.
        """
        try:
            if not future.done():
                cancel_after(future, self.timeout_s)
            return future.result()
        except CancelledError:
            message = f"the server was busy for {self.timeout_s} s: try again later"
            raise BusyError(message) from None

    def abandon(self, future: ScoringFuture) -> None:
        """Cancels a future although it may be running: no device takes another chunk of it."""
        if not future.cancel() and not future.done():
            self._fail(CancelledError, {future})

    def close(self, seconds: float = QUEUE_TIMEOUT_S) -> None:
        """Finishes the current batches, waiting at most `seconds`, and refuses the rest."""
        end = monotonic() + seconds
        self._stop()
        for thread in self._threads:
            thread.join(max(0.0, end - monotonic()))
        self._refuse_all()

    def _stop(self) -> None:
        with self._queued:
            self._closed = True
            self._queued.notify_all()
            self._backlogged.notify_all()

    def _refuse_all(self) -> None:
        with self._queued:
            for future in list(self._unfinished):
                self._queue.remove(future)
                future.fail(BusyError("the server is stopping"))

    def _forget(self, future: ScoringFuture) -> None:
        """Called once a future is complete or cancelled."""
        with self._queued:
            self._unfinished.discard(future)
            if future.cancelled() and self._queue.remove(future):
                future.set_running_or_notify_cancel()

    def _run(self, compute: Compute, queued: Condition, enough: float) -> None:
        try:
            while (batch := self._wait_for_batch(queued, enough)) is not None:
                entries = [entry for group in batch.values() for entry in group]
                records = sum(future.count_records(chunk) for future, chunk in entries)
                self._observe(records, sum(chunk.tokens for _, chunk in entries))
                for task, group in batch.items():
                    self._score(compute, task, group)
                    self._on_results()
        finally:
            self._end_thread()

    def _end_thread(self) -> None:
        """Whatever ends one thread ends all; the last one leaves nobody waiting."""
        self._stop()
        with self._queued:
            self._running -= 1
        if not self._running:
            self._refuse_all()

    def _wait_for_batch(self, queued: Condition, enough: float) -> ScoringBatch | None:
        """Waits for so many tokens and takes a batch; None once the batcher is closed."""
        is_first = queued is self._queued
        with queued:
            batch: ScoringBatch = {}
            while not batch and not self._closed:
                self._idle += is_first
                while not (self._closed or self._may_begin(enough, is_first=is_first)):
                    queued.wait()
                self._idle -= is_first
                batch = {} if self._closed else self._queue.take_batch()
            self._wake()  # another device may be idle
        return batch or None

    def _may_begin(self, enough: float, *, is_first: bool) -> bool:
        """Whether so many tokens wait; a device's second thread leaves them to idle devices."""
        return self._queue.tokens >= enough and (is_first or not self._idle)

    def _wake(self) -> None:
        """Notifies a thread of what waits, if one may take it."""
        if self._queue.tokens:
            self._queued.notify()
        if self._may_begin(self._backlog_tokens, is_first=False):
            self._backlogged.notify()

    def _score(self, compute: Compute, task: ScoringTask, entries: list[BatchEntry]) -> None:
        try:
            join = _join_distinct if task is ScoringTask.CANDIDATES else _join
            _distribute(compute(task, join(entries)), entries)
        except Exception as error:
            log.exception("a batch of %s failed", task.value)
            self._fail(partial(_explain, error), {future for future, _ in entries})

    def _fail(self, create_error: Callable[[], Exception], futures: set[ScoringFuture]) -> None:
        with self._queued:  # held throughout: no other device may take a chunk of them meanwhile
            for future in futures:
                self._queue.remove(future)
                future.fail(create_error())  # each waiting thread raises its own


def _explain(cause: Exception) -> BatchFailedError:
    error = BatchFailedError()
    error.__cause__ = cause
    return error


def cancel_after(future: Future[Any], timeout_s: float) -> None:
    """Waits until the future is complete; cancels it if it is not begun before the timeout."""
    try:
        future.exception(timeout_s)
    except TimeoutError:
        future.cancel()


def _join(entries: Sequence[BatchEntry]) -> Sides:
    """Joins the records of all entries."""
    if len(entries) == 1:
        (future, chunk), *_ = entries
        return future.sides if chunk.rows is None else _take(future.sides, chunk.rows)
    expanded = (
        [expand_rows(side, chunk.rows) for side in future.sides] for future, chunk in entries
    )
    return tuple(map(Ragged.concatenate, zip(*expanded, strict=True)))


def _join_distinct(entries: Sequence[BatchEntry]) -> Sides:
    """As `_join`, but a query beside many candidates is not written out beside each of them."""
    chosen = (
        future.sides if chunk.rows is None else _take(future.sides, chunk.rows)
        for future, chunk in entries
    )
    return tuple(map(join_distinct, zip(*chosen, strict=True)))


def _take(sides: Sides, rows: Index) -> Sides:
    return tuple(side.take(rows) for side in sides)


def _distribute(values: Floats, entries: Sequence[BatchEntry]) -> None:
    """Gives each entry its rows of the results."""
    start = 0
    for future, chunk in entries:
        end = start + future.count_records(chunk)
        future.receive(chunk, values[start:end])
        start = end
