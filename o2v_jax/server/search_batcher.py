"""Searches across requests: queries that are encoded wait here, and are searched together.

An exact search is a pass over all vectors, which takes hardly longer for many queries than for one.
So whenever the thread of this batcher is free it takes all queries that wait, as `Batcher` does
with records. Devices encode meanwhile. A large request is searched in parts that take turns with
others.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import AbstractContextManager, suppress
from threading import Condition, Thread
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from o2v_jax.array_types import Floats, Index
from o2v_jax.server.batcher import QUEUE_TIMEOUT_S, cancel_after
from o2v_jax.server.errors import BatchFailedError, BusyError
from o2v_jax.server.queue import ScoringFuture

if TYPE_CHECKING:
    from o2v_jax import retrieval

# What each query found: positions int64 and scores float32, both `[queries, largest k]`.
Found: TypeAlias = tuple[Index, Floats]
Watch: TypeAlias = Callable[[], AbstractContextManager[object]]

QUERIES = 1024  # in a search: so many are one pass over the vectors
TURN = 256  # queries of one request that are searched before others get their turn
FOUND = 2**20  # numbers of positions that are found at a time, and that are left out

log = logging.getLogger(__name__)


class SearchFuture(Future[Found]):
    """What one request's queries find. It is pending until its first queries are searched.

    Args:
        encoding: the queries' encodings, float32 `[queries, enc_dim]`.
        ks: int64 `[queries]`, how many items each wants.
        excluded: positions that each leaves out.

    Attributes:
        finished: when the last queries were searched, in seconds of `perf_counter`; 0 before.
    """

    def __init__(self, encoding: ScoringFuture, ks: Index, excluded: Sequence[Index]) -> None:
        super().__init__()
        self.encoding = encoding
        self.finished = 0.0
        self._ks = ks
        self._excluded = excluded
        self._next = 0  # query that has not been taken
        self._missing = len(ks)
        self._found: list[Found] = []

    @property
    def has_more(self) -> bool:
        """Whether there are queries that were not taken."""
        return self._next < len(self._ks) and not self.done()

    def start(self) -> bool:
        """Marks it as running; returns False if it was cancelled or given up."""
        return not self.done() and (self.running() or self.set_running_or_notify_cancel())

    def take(self, taken: int, cost: int) -> "Part | None":
        """Removes and returns the next queries.

        Args:
            taken: queries of other requests that are searched with them; 0: one is taken at least.
            cost: of these, see `Part`.

        Returns:
            None if there is no room for any.
        """
        here = slice(self._next, self._next + min(TURN, QUERIES - taken))
        ks, excluded = self._ks[here], self._excluded[here]
        costs = np.maximum.accumulate(np.maximum(_count_costs(ks, excluded), cost))
        numbers = costs * np.arange(taken + 1, taken + 1 + len(ks))
        fitting = int(np.count_nonzero(numbers <= FOUND))
        count = fitting if taken else max(1, fitting)
        if not count:
            return None
        encodings = self.encoding.result()[here][:count]
        self._next += count
        return Part(self, encodings, ks[:count], excluded[:count], int(costs[count - 1]))

    def receive(self, positions: Index, scores: Floats) -> None:
        """Stores what the queries of one part have found; the last ones complete the future."""
        self._found.append((positions, scores))
        self._missing -= len(positions)
        if self._missing:
            return
        self.finished = perf_counter()
        with suppress(InvalidStateError):  # it was given up
            self.set_result(_join_found(self._found))

    def fail(self, error: BaseException) -> None:
        """Completes it without results, unless it is complete."""
        with suppress(InvalidStateError):
            self.set_exception(error)


class Part(NamedTuple):
    """Queries of one request that are searched together.

    Attributes:
        future: of the request.
        encodings: float32 `[queries, enc_dim]`.
        ks: int64 `[queries]`.
        excluded: positions of each query.
        cost: the most that a query of the search so far finds or leaves out.
    """

    future: SearchFuture
    encodings: Floats
    ks: Index
    excluded: Sequence[Index]
    cost: int


def _count_costs(ks: Index, excluded: Sequence[Index]) -> Index:
    costs: Index = np.maximum(ks, [len(positions) for positions in excluded])
    return costs


class SearchBatcher:
    """Searches an index in a thread of its own.

    Args:
        index: is searched.
        observe: called with the number of queries of every search.
        watch: makes a context around every search.
        timeout_s: seconds that a request may wait before its first queries are searched.
    """

    def __init__(
        self,
        index: "retrieval.Index",
        observe: Callable[[int], None],
        watch: Watch,
        timeout_s: float = QUEUE_TIMEOUT_S,
    ) -> None:
        self._index = index
        self._timeout_s = timeout_s
        self._observe = observe
        self._watch = watch
        self._encoded = deque[SearchFuture]()  # of a batch that is not complete
        self._waiting = deque[SearchFuture]()
        self._unfinished: set[SearchFuture] = set()
        self._changed = Condition()
        self._closed = False
        self._thread = Thread(target=self._run, name="search", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether requests are still searched."""
        return not self._closed

    @property
    def waiting(self) -> int:
        """Requests that wait for a search, or for the rest of theirs."""
        return len(self._waiting)

    def submit(self, encoding: ScoringFuture, ks: Index, excluded: Sequence[Index]) -> SearchFuture:
        """Searches for queries, at least one, once they are encoded.

        Args:
            encoding: see `SearchFuture`; the next three likewise.
            ks: int64 `[queries]`.
            excluded: positions of each query.
        """
        future = SearchFuture(encoding, ks, excluded)
        encoding.add_done_callback(lambda _: self._append(future))
        if encoding.done():  # perhaps nobody calls `begin` any more
            self.begin()
        return future

    def result(self, future: SearchFuture) -> Found:
        """Waits for what the queries of a request find.

        Raises:
            BusyError: none was searched before the timeout, or the batcher was closed.
            BatchFailedError: they could not be searched.
        """
        try:
            if not future.done():
                cancel_after(future, self._timeout_s)
            return future.result()
        except CancelledError:
            message = f"the server was busy for {self._timeout_s} s: try again later"
            raise BusyError(message) from None

    def begin(self) -> None:
        """Has what was encoded searched: called after each batch, so that it is one search."""
        if self._encoded:
            with self._changed:
                while self._encoded:
                    self._waiting.append(self._encoded.popleft())
                self._changed.notify()

    def close(self, seconds: float = QUEUE_TIMEOUT_S) -> None:
        """Finishes the current search, waiting at most `seconds`, and refuses the rest."""
        self._stop()
        self._thread.join(seconds)
        self._refuse_all()

    def _append(self, future: SearchFuture) -> None:
        """Called by any thread once its queries are encoded, or will not be; it never blocks."""
        if future.encoding.cancelled():
            future.cancel()
        elif error := future.encoding.exception():
            future.fail(error)
        else:
            self._unfinished.add(future)
            future.add_done_callback(self._unfinished.discard)
            self._encoded.append(future)
            if self._closed:
                self._refuse_all()

    def _run(self) -> None:
        try:
            while parts := self._wait_for_parts():
                self._search(parts)
        finally:
            self._stop()
            self._refuse_all()

    def _stop(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _refuse_all(self) -> None:
        for future in list(self._unfinished):
            future.fail(BusyError("the server is stopping"))

    def _wait_for_parts(self) -> list[Part]:
        """Waits for queries and takes some; none once the batcher is closed."""
        parts: list[Part] = []
        while not parts:
            with self._changed:
                while not (self._waiting or self._closed):
                    self._changed.wait()
            if self._closed:
                return []
            parts = self._take_parts()
        return parts

    def _take_parts(self) -> list[Part]:
        """Takes queries of the requests in turn until there are enough for a search, or all."""
        parts: list[Part] = []
        queries, cost = 0, 1
        while self._waiting and queries < QUERIES:
            future = self._waiting.popleft()
            if not future.start():
                continue
            part = future.take(queries, cost)
            if part is None:
                self._waiting.appendleft(future)
                break
            parts.append(part)
            queries, cost = queries + len(part.ks), part.cost
            if future.has_more:
                self._waiting.append(future)
        return parts

    def _search(self, parts: list[Part]) -> None:
        self._observe(sum(len(part.ks) for part in parts))
        try:
            with self._watch():
                found = self._index.search_encodings(
                    np.concatenate([part.encodings for part in parts]),
                    np.concatenate([part.ks for part in parts]),
                    [positions for part in parts for positions in part.excluded],
                )
            _distribute(found, parts)
        except Exception:
            log.exception("a search of %d requests failed", len(parts))
            for part in parts:
                part.future.fail(BatchFailedError())


def _distribute(found: Found, parts: Sequence[Part]) -> None:
    """Gives each part its rows of what was found, without the columns of others.

    They are copies, so that a request that waits for more does not keep what others found.
    """
    start = 0
    for part in parts:
        here = slice(start, start + len(part.ks)), slice(int(part.ks.max()))
        try:
            part.future.receive(found[0][here].copy(), found[1][here].copy())
        except Exception:  # such as a lack of memory, which is no matter of the others
            log.exception("what a request found could not be joined")
            part.future.fail(BatchFailedError())
        start += len(part.ks)


def _join_found(found: Sequence[Found]) -> Found:
    """Joins what parts have found, of different columns."""
    if len(found) == 1:
        return found[0]
    most = max(positions.shape[1] for positions, _ in found)
    positions = [_widen(each, most, -1) for each, _ in found]
    scores = [_widen(each, most, -np.inf) for _, each in found]
    return np.concatenate(positions), np.concatenate(scores)


def _widen(values: Floats | Index, columns: int, filling: float) -> np.ndarray:
    return np.pad(values, [(0, 0), (0, columns - values.shape[1])], constant_values=filling)
