"""Requests that wait for a device, cut into chunks.

A request's records wait as a `ScoringFuture`. A device takes chunks of several requests at a time,
so that a large request shares the device with others.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from enum import Enum
from threading import Lock
from time import perf_counter
from typing import NamedTuple, TypeAlias

import numpy as np

from o2v_jax.array_types import Floats, Index
from o2v_jax.data.deduplicate import AnyRagged, DistinctRows, deduplicate_rows
from o2v_jax.data.ragged import Ragged

Sides: TypeAlias = tuple[AnyRagged, ...]


class ScoringTask(Enum):
    """What is computed of records. Requests with the same task are scored together."""

    PAIRS = "pairs"
    CANDIDATES = "candidates"  # pairs whose sides are `DistinctRows`, and stay so
    IN0 = "in0"
    IN1 = "in1"


class Chunk(NamedTuple):
    """Records that are scored together.

    Attributes:
        rows: their numbers, int64; None for all records of a request.
        tokens: their cost, as `cut_into_chunks` counts it.
    """

    rows: Index | None
    tokens: int


class ScoringFuture(Future[Floats]):
    """The results of one request's records, float32 `[records, numbers]`.

    It is pending until a device takes its first chunk: until then `cancel` withdraws it.

    Args:
        task: what is computed.
        sides: both sides of pairs or the one of single objects, validated and cut.
        chunk_tokens: tokens of the largest chunk.

    Attributes:
        submitted: when it was created, in seconds of `perf_counter`; likewise the next two.
        started: when its first chunk was taken, 0 before.
        finished: when its last results came, 0 before.
    """

    def __init__(self, task: ScoringTask, sides: Sides, chunk_tokens: int) -> None:
        super().__init__()
        self.task = task
        self.sides = sides
        self.submitted = perf_counter()
        self.started = 0.0
        self.finished = 0.0
        self._values: Floats | None = None
        tokens = len(self) + sum(len(side.ids) for side in sides)
        self._chunks = [Chunk(None, tokens)]
        if tokens > chunk_tokens:
            distinct = tuple(
                deduplicate_rows(side) if isinstance(side, Ragged) else side for side in sides
            )
            self.sides = distinct
            self._chunks = cut_into_chunks(distinct, chunk_tokens)[::-1]
        self._missing = len(self)
        self._lock = Lock()  # several devices may bring results at the same time

    def __len__(self) -> int:
        return len(self.sides[0])

    @property
    def waiting_records(self) -> int:
        """Records that no device has taken."""
        return sum(self.count_records(chunk) for chunk in self._chunks)

    @property
    def waiting_tokens(self) -> int:
        """The cost of the chunks that no device has taken."""
        return sum(chunk.tokens for chunk in self._chunks)

    @property
    def has_more(self) -> bool:
        """Whether there are chunks that no device has taken."""
        return bool(self._chunks)

    def count_records(self, chunk: Chunk) -> int:
        """Returns the number of records in one of its chunks."""
        return len(self) if chunk.rows is None else len(chunk.rows)

    def start(self) -> bool:
        """Marks it as running; returns False if it was cancelled before."""
        if not self.started:
            if not self.set_running_or_notify_cancel():
                return False
            self.started = perf_counter()
        return True

    def take(self) -> Chunk:
        """Removes and returns the next chunk."""
        return self._chunks.pop()

    def receive(self, chunk: Chunk, values: Floats) -> None:
        """Stores the results of a chunk; the last ones complete the future."""
        with self._lock:
            if self.done():
                return  # it has failed meanwhile
            if chunk.rows is None:
                self._values = values
            else:
                if self._values is None:
                    self._values = np.empty((len(self), values.shape[1]), np.float32)
                self._values[chunk.rows] = values
            self._missing -= len(values)
            if self._missing or self._values is None:
                return
            self.finished = perf_counter()
        self.set_result(self._values)

    def fail(self, error: BaseException) -> None:
        """Completes it without results, unless it is complete."""
        with self._lock:
            if self.done() or self.finished:
                return
            self.finished = perf_counter()
        self._chunks.clear()
        with suppress(InvalidStateError):  # it was cancelled just now
            self.set_exception(error)


BatchEntry: TypeAlias = tuple[ScoringFuture, Chunk]
ScoringBatch: TypeAlias = dict[ScoringTask, list[BatchEntry]]


class Waiting(NamedTuple):
    """What no device has taken: how many requests, of how many records."""

    requests: int
    records: int


class Queue:
    """Futures in the order of arrival, taken chunk by chunk. Not safe for threads.

    Args:
        chunk_tokens: tokens of the largest chunk.
        chunks_per_batch: tokens of a batch, in units of `chunk_tokens`; a batch may exceed them by
            one chunk.

    Attributes:
        tokens: of all waiting chunks; 0 if and only if the queue is empty.
    """

    def __init__(self, chunk_tokens: int, chunks_per_batch: int) -> None:
        self._batch_tokens = chunks_per_batch * chunk_tokens
        self._futures = deque[ScoringFuture]()
        self.tokens = 0

    @property
    def waiting(self) -> Waiting:
        """What no device has taken."""
        return Waiting(len(self._futures), sum(each.waiting_records for each in self._futures))

    def append(self, future: ScoringFuture) -> None:
        """Adds a future. It has at least one record, and a record costs at least one token."""
        self._futures.append(future)
        self.tokens += future.waiting_tokens

    def remove(self, future: ScoringFuture) -> bool:
        """Removes a future; returns whether it was in the queue."""
        if future not in self._futures:
            return False
        self._futures.remove(future)
        self.tokens = sum(each.waiting_tokens for each in self._futures)
        return True

    def take_batch(self) -> ScoringBatch:
        """Takes chunks of the futures in turn until they fill a batch, or all."""
        batch: defaultdict[ScoringTask, list[BatchEntry]] = defaultdict(list)
        room = self._batch_tokens
        while self._futures and room > 0:
            future = self._futures.popleft()
            if not future.start():
                self.tokens -= future.waiting_tokens
                continue
            chunk = future.take()
            batch[future.task].append((future, chunk))
            room -= chunk.tokens
            self.tokens -= chunk.tokens
            if future.has_more:
                self._futures.append(future)
        return batch


def cut_into_chunks(sides: Sequence[DistinctRows], chunk_tokens: int) -> list[Chunk]:
    """Cuts records into chunks of about `chunk_tokens` tokens, the longest records first.

    Records of a chunk have similar lengths, and those with the same object stand together. A chunk
    costs the tokens of its distinct objects, since each is encoded once, and one for each record.
    """
    count = len(sides[0])
    order = _sort_records(sides)
    lengths = [side.lengths[order] for side in sides]
    previous = [_find_previous_equal(side.inverse[order]) for side in sides]
    chunks = []
    start = 0
    while start < count:
        part = slice(start, start + chunk_tokens)  # no record costs less than a token
        new = sum(n[part] * (p[part] < start) for n, p in zip(lengths, previous, strict=True))
        cost = np.cumsum(new + 1)
        end = max(1, int(np.searchsorted(cost, chunk_tokens, side="right")))
        chunks.append(Chunk(order[start : start + end], int(cost[end - 1])))
        start += end
    return chunks


def _sort_records(sides: Sequence[DistinctRows]) -> Index:
    """Sorts by the length of the first side, then by its object, then likewise the other."""
    keys = [key for side in sides for key in (-side.lengths, side.inverse)]
    return np.lexsort(keys[::-1])


def _find_previous_equal(numbers: Index) -> Index:
    """Returns for every element the index of the last equal one before it, or -1."""
    order = np.argsort(numbers, kind="stable")
    equal = numbers[order[1:]] == numbers[order[:-1]]
    previous = np.full(len(numbers), -1, np.int64)
    previous[order[1:][equal]] = order[:-1][equal]
    return previous
