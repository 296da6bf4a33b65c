"""Ragged arrays: many sequences of token ids as one flat array and its row offsets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.errors import InputError

Ids: TypeAlias = npt.NDArray[np.int32]
Index: TypeAlias = npt.NDArray[np.int64]

_SLICE = 2**20  # offsets looked at together
_BOUNDS = np.iinfo(np.int32)  # looking them up costs more than all else here for one short row


@dataclass(frozen=True, eq=False)
class Ragged:
    """Sequences of token ids.

    Attributes:
        ids: int32 `[tokens]`, the sequences one after the other.
        offsets: int64 `[rows + 1]`; row `r` is `ids[offsets[r]:offsets[r + 1]]`.

    Raises:
        InputError: the offsets do not divide the ids into rows.

    >>> Ragged.of([[3, 1], [], [4]]).row(0)
    array([3, 1], dtype=int32)
    """

    ids: Ids
    offsets: Index

    def __post_init__(self) -> None:
        ends = self.offsets[:1].tolist() + self.offsets[-1:].tolist()
        if ends != [0, len(self.ids)] or not _rises(self.offsets):
            raise InputError(f"offsets must rise from 0 to {len(self.ids)}, the number of ids")

    @classmethod
    def of(cls, rows: "Ragged | Iterable[Sequence[int]]") -> "Ragged":
        """Makes ragged arrays of any sequence of sequences of integers (or returns them as is).

        Raises:
            InputError: it is no sequence of sequences, or something in one of them is not an
                integer that fits int32.
        """
        if isinstance(rows, Ragged):
            return rows
        try:
            rows = list(rows)
            lengths = np.fromiter(map(len, rows), np.int64, len(rows))
            flat = np.array(list(chain.from_iterable(rows)) or np.zeros(0, np.int32))
        except (TypeError, ValueError) as error:
            raise InputError(f"expected a sequence of sequences of token ids ({error})") from None
        return cls(_int32(flat), offsets_of(lengths))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Index:
        """Int64 `[rows]`, tokens in each row."""
        return self.offsets[1:] - self.offsets[:-1]

    @classmethod
    def joined(cls, parts: "Sequence[Ragged]") -> "Ragged":
        """The rows of all parts, one after the other.

        >>> Ragged.joined([Ragged.of([[3, 1], [5]]), Ragged.of([[4]])]).offsets
        array([0, 2, 3, 4])
        """
        if len(parts) == 1:
            return parts[0]
        before = offsets_of(np.array([len(part.ids) for part in parts], np.int64))
        offsets = [part.offsets[1:] for part in parts]
        shift = np.repeat(before[:-1], [len(part) for part in parts])
        joined = np.concatenate([_NONE, *offsets])
        joined[1:] += shift
        return cls(np.concatenate([part.ids for part in parts]), joined)

    def row(self, index: int) -> Ids:
        """The ids of one row, int32 `[length]`."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def rows(self, start: int, stop: int) -> "Ragged":
        """The rows from one number up to another, without copying their ids.

        >>> Ragged.of([[3, 1], [], [4]]).rows(1, 3).offsets
        array([0, 0, 1])
        """
        if (start, stop) == (0, len(self)):
            return self
        offsets = self.offsets[start : stop + 1]
        return Ragged(self.ids[offsets[0] : offsets[-1]], offsets - offsets[0])

    def take(self, rows: npt.NDArray[np.integer], max_length: int | None = None) -> "Ragged":
        """The given rows, in the given order, of each only the first `max_length` ids (None: all).

        Nothing but these rows is read: the arrays may be larger than memory.
        """
        starts = self.offsets[:-1][rows]
        lengths = self.offsets[1:][rows] - starts
        if max_length is not None:
            lengths = np.minimum(lengths, max_length)
        offsets = offsets_of(lengths)
        shift = np.repeat(starts - offsets[:-1], lengths)
        return Ragged(self.ids[np.arange(offsets[-1]) + shift], offsets)

    def cut(self, max_length: int) -> "Ragged":
        """Every row cut to its first `max_length` ids; the same object if none is longer."""
        lengths = self.lengths
        if not len(lengths) or int(lengths.max()) <= max_length:
            return self
        position = np.arange(len(self.ids)) - np.repeat(self.offsets[:-1], lengths)
        return Ragged(self.ids[position < max_length], offsets_of(np.minimum(lengths, max_length)))

    def padded(self, batch: int, length: int, rows: npt.NDArray[np.integer] | None = None) -> Ids:
        """These rows, or all, as int32 `[batch, length]`, with id 0 on the right and below.

        None of them may be longer.
        """
        starts, ends = self.offsets[:-1], self.offsets[1:]
        if rows is not None:
            starts, ends = starts[rows], ends[rows]
        out, place = np.zeros((batch, length), np.int32), np.arange(length)
        if len(self.ids):
            filled = out[: len(starts)]
            self.ids.take(starts[:, None] + place, out=filled, mode="clip")
            filled *= place < (ends - starts)[:, None]
        return out


_NONE = np.zeros(1, np.int64)


def _rises(offsets: Index) -> bool:
    """Whether none is less than the one before; in slices, because there may be very many."""
    if len(offsets) <= 2:  # noqa: PLR2004 - one row, as most requests have: no need of arrays
        return int(offsets[0]) <= int(offsets[-1])
    slices = (offsets[start : start + _SLICE + 1] for start in range(0, len(offsets), _SLICE))
    return all((part[1:] >= part[:-1]).all() for part in slices)


def _int32(flat: npt.NDArray[Any]) -> Ids:
    if flat.dtype.kind not in "iu" or flat.ndim != 1:
        raise InputError(f"token ids must be integers, but these are {flat.dtype} values")
    if flat.size and not _BOUNDS.min <= flat.min() <= flat.max() <= _BOUNDS.max:
        raise InputError(f"token ids must fit int32, but they reach {flat.min()}..{flat.max()}")
    return flat.astype(np.int32)


def offsets_of(lengths: npt.NDArray[np.integer]) -> Index:
    """Row offsets, int64 `[rows + 1]`, of rows of the given lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
