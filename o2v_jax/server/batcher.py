"""Batches across requests. Knows no Flask and no JAX.

Requests submit work and wait for it. Whenever a device is free its thread forms a batch of what
waits, in the order of arrival, so that a lone request starts at once and a batch is formed as late
as possible: nothing ever waits for a timer. Where plenty waits, a second thread prepares the next
batch while the device is busy with one. A large request is cut into chunks which take turns with
other requests, so that nobody waits for the whole of it.

Departed clients are scored all the same; work is withdrawn only where patience runs out.
"""

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from math import inf
from threading import Condition, RLock, Thread
from time import monotonic
from typing import NamedTuple, TypeAlias

from o2v_jax.data.ragged import Ragged
from o2v_jax.server.http import BusyError
from o2v_jax.server.work import Chunk, Floats, Kind, Sides, Work

Part: TypeAlias = tuple[Work, Chunk]
Batch: TypeAlias = dict[Kind, list[Part]]

# Of a batch: one large request alone fills it, and two have half of it each. With fewer there is
# more padding (with 4, an hcnn took 1.14 times the tokens); with more, small requests wait longer.
SHARES = 16


class Waiting(NamedTuple):
    """What nobody has taken up: how many requests, of how many records."""

    requests: int
    records: int


class Line:
    """A queue whose works are taken up chunk by chunk. Not safe for threads.

    Args:
        share: tokens of the largest chunk; a batch has `SHARES` times as many, or a chunk more.

    Attributes:
        tokens: that wait; none if and only if there is no work.
    """

    def __init__(self, share: int) -> None:
        self._share, self._works, self.tokens = share, deque[Work](), 0

    @property
    def waiting(self) -> Waiting:
        """What nobody has taken up."""
        return Waiting(len(self._works), sum(work.waiting for work in self._works))

    def join(self, work: Work) -> None:
        """Puts work at the end. It has at least one record, which costs at least a token."""
        self._works.append(work)
        self.tokens += work.tokens

    def leave(self, works: Collection[Work]) -> None:
        """Takes works out, if they are in."""
        self._works = deque(work for work in self._works if work not in works)
        self.tokens = sum(work.tokens for work in self._works)

    def batch(self) -> Batch:
        """Takes up chunks of works in turns, until they are a batch or all."""
        batch: defaultdict[Kind, list[Part]] = defaultdict(list)
        room = SHARES * self._share
        while self._works and room > 0:
            work = self._works.popleft()
            chunk = work.take()
            batch[work.kind].append((work, chunk))
            room -= chunk.tokens
            self.tokens -= chunk.tokens
            if work.has_more:
                self._works.append(work)
        return batch


Compute: TypeAlias = Callable[[Kind, Sides], Floats]
Observe: TypeAlias = Callable[[int, int], None]

PLENTY = 4  # shares that wait: worth a batch of their own
PATIENCE_S = 20.0

log = logging.getLogger(__name__)


class BatchFailedError(Exception):
    """The batch that a request was in could not be scored. The log says why."""


class Batcher:
    """Forms batches of what requests submit, in a thread for each device.

    Args:
        computes: for each device, what scores joined records of one kind there, float32
            `[records, numbers]` in their order.
        share: tokens of the largest chunk of a request, as of `Line`.
        observe: called with the records and tokens of every batch.
        patience_s: seconds that work may wait before it is begun.
        plenty: shares that are taken up although the device is at work; None: none ever are.
    """

    def __init__(
        self,
        computes: Sequence[Compute],
        share: int,
        observe: Observe,
        patience_s: float = PATIENCE_S,
        plenty: int | None = None,
    ) -> None:
        self._share, self._observe, self._patience_s = share, observe, patience_s
        self._line = Line(share)
        self._unresolved: set[Work] = set()
        self._closed, self._idle = False, 0  # devices that are not at work
        lock = RLock()
        self._changed, self._filled = Condition(lock), Condition(lock)
        self._plenty = inf if plenty is None else plenty * share
        waits = ((self._changed, 1), (self._filled, self._plenty))[: 1 if plenty is None else 2]
        self._running = len(computes) * len(waits)
        self._threads = [
            Thread(target=self._run, args=(compute, *wait), name=f"device {number}", daemon=True)
            for number, compute in enumerate(computes)
            for wait in waits
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether work is still done, by all devices."""
        return not self._closed

    @property
    def waiting(self) -> Waiting:
        """What nobody has taken up."""
        with self._changed:
            return self._line.waiting

    def submit(self, kind: Kind, sides: Sides, resolved: Callable[[], None] = lambda: None) -> Work:
        """Queues records, at least one, whose sides were checked and cut; `wait` brings results.

        `resolved` is called, once, when `wait` need not wait any more: by any thread, which holds
        locks, so it must neither block nor ask the batcher for anything.

        Raises:
            BusyError: the batcher has been closed.
        """
        work = Work(kind, sides, self._share, resolved)
        with self._changed:
            if self._closed:
                raise BusyError("the server is stopping")
            self._line.join(work)
            self._unresolved.add(work)
            self._tell()
        return work

    def wait(self, work: Work) -> Floats:
        """The results of submitted work, float32 `[records, numbers]`.

        Raises:
            BusyError: patience ran out before the work was begun, or the batcher was closed.
            BatchFailedError: it could not be scored.
        """
        if not work.wait(self._patience_s) and not self.withdraw(work):
            work.wait()
        if work.values is not None and work.error is None:
            return work.values
        if isinstance(work.error, BusyError):
            raise BusyError(str(work.error))  # each waiting thread raises its own
        raise BatchFailedError from work.error

    def close(self, seconds: float = PATIENCE_S) -> None:
        """Ends the batches at hand, waiting so long for them, and refuses all other work."""
        end = monotonic() + seconds
        self._stop()
        for thread in self._threads:
            thread.join(max(0.0, end - monotonic()))
        self._refuse_all()

    def _stop(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._filled.notify_all()

    def _refuse_all(self) -> None:
        with self._changed:
            self._line.leave(self._unresolved)
            for work in self._unresolved:
                work.fail(BusyError("the server is stopping"))
            self._unresolved.clear()

    def withdraw(self, work: Work) -> bool:
        """Takes work back that has not been begun, for want of patience: whether that was so."""
        with self._changed:
            if work.started or work.resolved:
                return False
            self._line.leave({work})
            self._unresolved.remove(work)
            work.fail(BusyError(f"the server was busy for {self._patience_s} s: try again later"))
            return True

    def _run(self, compute: Compute, changed: Condition, enough: float) -> None:
        try:
            while batch := self._next_batch(changed, enough):
                parts = [part for group in batch.values() for part in group]
                self._observe(sum(map(_records, parts)), sum(chunk.tokens for _, chunk in parts))
                for kind, group in batch.items():
                    self._score(compute, kind, group)
        finally:
            self._leave()

    def _leave(self) -> None:
        """Whatever ends a thread ends all; the last one leaves nobody waiting."""
        self._stop()
        with self._changed:
            self._running -= 1
        if not self._running:
            self._refuse_all()

    def _next_batch(self, changed: Condition, enough: float) -> Batch:
        """Waits for so many tokens and takes up a batch; nothing once the batcher is closed."""
        first = changed is self._changed
        with changed:
            self._idle += first
            while not (self._closed or self._may_begin(enough, first)):
                changed.wait()
            self._idle -= first
            batch = {} if self._closed else self._line.batch()
            self._tell()  # another device may be free
        return batch

    def _may_begin(self, enough: float, first: bool) -> bool:
        """Whether so many tokens wait, and for a device's second thread also no other device."""
        return self._line.tokens >= enough and (first or not self._idle)

    def _tell(self) -> None:
        """Wakes a thread for what waits, if there is one to take it up."""
        if self._line.tokens:
            self._changed.notify()
        if self._may_begin(self._plenty, first=False):
            self._filled.notify()

    def _score(self, compute: Compute, kind: Kind, parts: list[Part]) -> None:
        try:
            _hand_out(compute(kind, _sides(parts)), parts)
        except Exception as error:
            log.exception("a batch of %s failed", kind.value)
            self._fail(error, {work for work, _ in parts})
        else:
            with self._changed:
                self._unresolved -= {work for work, _ in parts if work.resolved}

    def _fail(self, error: Exception, works: set[Work]) -> None:
        with self._changed:  # held throughout: no other device may take up what has failed
            for work in works:
                work.fail(error)
            self._unresolved -= works
            self._line.leave(works)


def _records(part: Part) -> int:
    work, chunk = part
    return len(work) if chunk.rows is None else len(chunk.rows)


def _sides(parts: Sequence[Part]) -> Sides:
    """The records of all parts, side by side."""
    chosen = [
        work.sides if chunk.rows is None else [side.take(chunk.rows) for side in work.sides]
        for work, chunk in parts
    ]
    return tuple(Ragged.joined(side) for side in zip(*chosen, strict=True))


def _hand_out(values: Floats, parts: Sequence[Part]) -> None:
    at = 0
    for work, chunk in parts:
        count = _records((work, chunk))
        work.receive(chunk, values[at : at + count])
        at += count
