"""Deduplication of the rows of ragged arrays, so that each distinct one is computed once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Ids, Index
from o2v_jax.data.ragged import Ragged, offsets_of

Hashes: TypeAlias = npt.NDArray[np.uint64]

SMALL_ROWS = 64  # so few are compared as they are, in less time than by hashes
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class DistinctRows:
    """Distinct sequences, and which of them each record has.

    Attributes:
        rows: the sequences, none twice.
        inverse: int64 `[records]`, for each record its row in `rows`.
    """

    rows: Ragged
    inverse: Index

    def __len__(self) -> int:
        return len(self.inverse)

    @property
    def ids(self) -> Ids:
        """Int32 `[tokens]`, those of the distinct sequences."""
        return self.rows.ids

    @property
    def lengths(self) -> Index:
        """Int64 `[records]`, tokens of each record's row."""
        lengths: Index = self.rows.lengths[self.inverse]
        return lengths

    def take(self, records: npt.NDArray[np.integer]) -> "DistinctRows":
        """The given records, in the given order.

        >>> deduplicate_rows(Ragged.of([[3], [1], [3]])).take(np.array([2, 0])).rows.ids
        array([3], dtype=int32)
        """
        used, inverse = np.unique(self.inverse[records], return_inverse=True)
        return DistinctRows(self.rows.take(used), inverse.astype(np.int64))


AnyRagged: TypeAlias = Ragged | DistinctRows


def join_distinct(parts: Sequence[DistinctRows]) -> DistinctRows:
    """The records of all parts, one after the other.

    >>> one, two = deduplicate_rows(Ragged.of([[3], [3]])), deduplicate_rows(Ragged.of([[4], [3]]))
    >>> join_distinct([one, two]).inverse
    array([0, 0, 1, 0])
    """
    starts = offsets_of(np.array([len(part.rows) for part in parts], np.int64))
    inverse = [part.inverse + start for part, start in zip(parts, starts[:-1], strict=True)]
    found = deduplicate_rows(Ragged.concatenate([part.rows for part in parts]))
    return DistinctRows(found.rows, found.inverse[np.concatenate(inverse)])


def expand_rows(rows: AnyRagged, records: Index | None = None) -> Ragged:
    """The rows of the given records, or of all, repetitions included."""
    if isinstance(rows, Ragged):
        return rows if records is None else rows.take(records)
    return rows.rows.take(rows.inverse if records is None else rows.inverse[records])


def deduplicate_rows(ragged: Ragged) -> DistinctRows:
    """The rows without repetition."""
    first, inverse = find_unique_rows(ragged)
    rows = ragged if len(first) == len(ragged) else ragged.take(first)
    return DistinctRows(rows, inverse)


def find_unique_rows(
    ragged: Ragged, hash_by: Callable[[Ragged], Hashes] | None = None
) -> tuple[Index, Index]:
    """The first row of each set of equal rows, and for every row the number of its set.

    Rows are grouped by a 64-bit hash and then compared in full, so that a collision of hashes
    costs speed and never a wrong answer.

    Args:
        ragged: the rows.
        hash_by: another hash, uint64 `[rows]`.
    """
    if len(ragged) <= SMALL_ROWS:
        return _find_unique_in_few(ragged)
    hashes = (hash_by or hash_rows)(ragged)
    everything = np.arange(len(ragged))
    ordered = np.sort(hashes)
    if (ordered[1:] != ordered[:-1]).all():  # found in a quarter of the time of what follows
        return everything, everything
    _, first, kind = np.unique(hashes, return_index=True, return_inverse=True)
    if _are_equal(ragged, ragged.take(first[kind])):
        return first, kind
    return everything, everything


def _find_unique_in_few(ragged: Ragged) -> tuple[Index, Index]:
    """`find_unique_rows` by a dict of their bytes."""
    content, ends = ragged.ids.tobytes(), (ragged.offsets * ragged.ids.itemsize).tolist()
    rows = [content[start:end] for start, end in pairwise(ends)]
    first = {row: number for number, row in reversed(list(enumerate(rows)))}
    order = sorted(first.values())
    kinds = {rows[number]: kind for kind, number in enumerate(order)}
    return np.array(order, np.int64), np.array([kinds[row] for row in rows], np.int64)


def hash_rows(ragged: Ragged) -> Hashes:
    """One uint64 a row: its ids, each times a factor for its position, and its length, added up.

    Carter and Wegman (1979), "Universal classes of hash functions".
    """
    lengths = ragged.lengths
    position = np.arange(len(ragged.ids)) - np.repeat(ragged.offsets[:-1], lengths)
    factors = _mix(np.arange(1, lengths.max() + 2, dtype=np.uint64))
    total = np.zeros(len(ragged.ids) + 1, np.uint64)
    np.cumsum(ragged.ids.astype(np.uint64) * factors[position], out=total[1:])
    sums: npt.NDArray[np.uint64] = total[ragged.offsets[1:]] - total[ragged.offsets[:-1]]
    return sums + lengths.astype(np.uint64)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A bijection that spreads every bit (the finaliser of splitmix64, Steele et al. 2014)."""
    x = x * _ODD
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _are_equal(a: Ragged, b: Ragged) -> bool:
    return np.array_equal(a.offsets, b.offsets) and np.array_equal(a.ids, b.ids)
