"""One request's part of the device's work: its records, cut into chunks, and their results."""

from collections.abc import Callable, Sequence
from enum import Enum
from threading import Event, Lock
from time import perf_counter
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.data.ragged import Ragged, unique_rows

Floats: TypeAlias = npt.NDArray[np.float32]
Index: TypeAlias = npt.NDArray[np.int64]
Sides: TypeAlias = tuple[Ragged, ...]


class Kind(Enum):
    """What is wanted of records. Works of one kind are scored together."""

    PAIRS = "pairs"
    IN0 = "in0"
    IN1 = "in1"


class Chunk(NamedTuple):
    """Records that stay together.

    Attributes:
        rows: their numbers, int64; None for all records of a request.
        tokens: what they cost, as of `chunks`.
    """

    rows: Index | None
    tokens: int


class Work:
    """Records of one kind, of one request, until their results are there.

    Args:
        resolved: called once when there are results or an error, by whatever thread brings them.

    Attributes:
        kind: what is wanted.
        sides: both sides of pairs or the one of single objects, checked and cut.
        submitted: when the work was, in seconds of `perf_counter`; so the next two.
        started: when its first chunk was taken, 0 before.
        finished: when it was resolved.
        values: the results, float32 `[records, numbers]`, once it is.
        error: why there are none, if so.
    """

    def __init__(
        self, kind: Kind, sides: Sides, share: int, resolved: Callable[[], None] = lambda: None
    ) -> None:
        self.kind, self.sides, self._tell = kind, sides, resolved
        self.submitted, self.started, self.finished = perf_counter(), 0.0, 0.0
        self.values: Floats | None = None
        self.error: BaseException | None = None
        self._chunks = chunks(sides, share)[::-1]
        self._missing = len(self)
        self._resolved, self._lock = Event(), Lock()  # devices may bring chunks at a time

    def __len__(self) -> int:
        return len(self.sides[0])

    @property
    def waiting(self) -> int:
        """Records that nobody has taken."""
        return sum(len(self) if c.rows is None else len(c.rows) for c in self._chunks)

    @property
    def tokens(self) -> int:
        """What the chunks cost that nobody has taken."""
        return sum(chunk.tokens for chunk in self._chunks)

    @property
    def has_more(self) -> bool:
        """Whether there are chunks left to take."""
        return bool(self._chunks)

    def take(self) -> Chunk:
        """The next chunk."""
        self.started = self.started or perf_counter()
        return self._chunks.pop()

    def receive(self, chunk: Chunk, values: Floats) -> None:
        """Takes the results of a chunk; with those of the last one the work is resolved."""
        with self._lock:
            if self._resolved.is_set():
                return  # it failed meanwhile
            if chunk.rows is None:
                self.values = values
            else:
                if self.values is None:
                    self.values = np.empty((len(self), values.shape[1]), np.float32)
                self.values[chunk.rows] = values
            self._missing -= len(values)
            if not self._missing:
                self._resolve()

    def fail(self, error: BaseException) -> None:
        """Resolves the work without results, unless it has them."""
        with self._lock:
            if not self._resolved.is_set():
                self.error = error
                self._resolve()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits until the work is resolved: whether it is."""
        return self._resolved.wait(seconds)

    @property
    def resolved(self) -> bool:
        """Whether there are results or an error."""
        return self._resolved.is_set()

    def _resolve(self) -> None:
        self._chunks.clear()
        self.finished = perf_counter()
        self._resolved.set()
        self._tell()


def chunks(sides: Sides, share: int) -> list[Chunk]:
    """Cuts records into chunks of about `share` tokens, the longest records first.

    In a chunk, lengths are alike and records with the same object stand together. It costs the
    tokens of its distinct objects, since each is encoded once, and one for each record.
    """
    count, tokens = len(sides[0]), sum(len(side.ids) for side in sides)
    if tokens + count <= share:
        return [Chunk(None, tokens + count)]
    kinds = [unique_rows(side)[1] for side in sides]
    order = _order(sides, kinds)
    lengths = [side.lengths[order] for side in sides]
    previous = [_previous(kind[order]) for kind in kinds]
    found, start = [], 0
    while start < count:
        part = slice(start, start + share)  # no record costs less than a token
        new = sum(n[part] * (p[part] < start) for n, p in zip(lengths, previous, strict=True))
        cost = np.cumsum(new + 1)
        end = max(1, int(np.searchsorted(cost, share, side="right")))
        found.append(Chunk(order[start : start + end], int(cost[end - 1])))
        start += end
    return found


def _order(sides: Sides, kinds: Sequence[Index]) -> Index:
    """Records by the length of their first side, then by that side, then likewise the other."""
    keys = [key for side, kind in zip(sides, kinds, strict=True) for key in (-side.lengths, kind)]
    return np.lexsort(keys[::-1])


def _previous(kinds: Index) -> Index:
    """For every element the place of the last equal one before it, or -1."""
    places = np.argsort(kinds, kind="stable")
    same = kinds[places[1:]] == kinds[places[:-1]]
    out = np.full(len(kinds), -1, np.int64)
    out[places[1:][same]] = places[:-1][same]
    return out
