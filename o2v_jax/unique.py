"""Finds repeated rows, so that each is encoded once."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from o2v_jax.data.ragged import Index, Ragged

FEW_ROWS = 64  # compared as they are
_ODD = np.uint64(0x9E3779B97F4A7C15)


def unique_rows(ragged: Ragged) -> tuple[Index, Index]:
    """Rows without repetition: (first row of each kind, for every row the kind it is of).

    Rows are grouped by a 64-bit hash and then compared in full, so that a collision of hashes
    costs speed and never a wrong answer.
    """
    if len(ragged) <= FEW_ROWS:
        return _unique_few(ragged)
    hashes, everything = _hashes(ragged), np.arange(len(ragged))
    ordered = np.sort(hashes)
    if (ordered[1:] != ordered[:-1]).all():  # found in a quarter of the time of what follows
        return everything, everything
    _, first, kind = np.unique(hashes, return_index=True, return_inverse=True)
    if _all_equal(ragged, ragged.take(first[kind])):
        return first, kind
    return everything, everything


def distinct_rows(ragged: Ragged) -> tuple[Ragged, Index]:
    """The rows without repetition, and for every row the one that is equal."""
    first, kind = unique_rows(ragged)
    return (ragged if len(first) == len(ragged) else ragged.take(first)), kind


def _unique_few(ragged: Ragged) -> tuple[Index, Index]:
    """The same for few rows, in less time."""
    content, ends = ragged.ids.tobytes(), (ragged.offsets * ragged.ids.itemsize).tolist()
    rows = [content[start:end] for start, end in pairwise(ends)]
    first = {row: number for number, row in reversed(list(enumerate(rows)))}
    order = sorted(first.values())
    places = {rows[number]: place for place, number in enumerate(order)}
    return np.array(order, np.int64), np.array([places[row] for row in rows], np.int64)


def _hashes(ragged: Ragged) -> npt.NDArray[np.uint64]:
    """One uint64 a row: its ids, each times a number for its place, and its length, added up.

    Carter and Wegman (1979), "Universal classes of hash functions".
    """
    lengths = ragged.lengths
    place = np.arange(len(ragged.ids)) - np.repeat(ragged.offsets[:-1], lengths)
    factors = _mix(np.arange(1, lengths.max() + 2, dtype=np.uint64))
    total = np.zeros(len(ragged.ids) + 1, np.uint64)
    np.cumsum(ragged.ids.astype(np.uint64) * factors[place], out=total[1:])
    sums: npt.NDArray[np.uint64] = total[ragged.offsets[1:]] - total[ragged.offsets[:-1]]
    return sums + lengths.astype(np.uint64)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A bijection that spreads every bit (the finaliser of splitmix64, Steele et al. 2014)."""
    x = x * _ODD
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _all_equal(a: Ragged, b: Ragged) -> bool:
    return np.array_equal(a.offsets, b.offsets) and np.array_equal(a.ids, b.ids)
