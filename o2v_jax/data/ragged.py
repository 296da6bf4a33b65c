"""Ragged arrays of token ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Ids, Index
from o2v_jax.data.sequences import FlatSequences, flat, to_array
from o2v_jax.errors import InputError

_SLICE = 2**20  # offsets that are compared at a time
_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)
_BOUNDS = np.iinfo(np.int32)  # looking them up costs more than all else here for one short row


@dataclass(frozen=True, eq=False)
class Ragged:
    """Sequences of token ids.

    Attributes:
        ids: int32 `[tokens]`, the sequences one after the other.
        offsets: int64 `[rows + 1]`; row `r` is `ids[offsets[r]:offsets[r + 1]]`.

    The constructor and `of` check what they are given; the other methods, which are called for
    every batch, take rows and lengths as they are.

    Raises:
        InputError: the ids are not integers that fit int32 in one dimension, or the offsets are not
            integers that divide them into rows.

    >>> Ragged.of([[3, 1], [], [4]]).row(0)
    array([3, 1], dtype=int32)
    """

    ids: Ids
    offsets: Index

    def __post_init__(self) -> None:
        if _needs_conversion(self.ids, _INT32):
            object.__setattr__(self, "ids", _convert_ids(to_array(self.ids)))
        if _needs_conversion(self.offsets, _INT64):
            object.__setattr__(self, "offsets", _convert_offsets(to_array(self.offsets)))
        ends = self.offsets[:1].tolist() + self.offsets[-1:].tolist()
        if ends != [0, len(self.ids)] or not _is_rising(self.offsets):
            raise InputError(f"offsets must rise from 0 to {len(self.ids)}, the number of ids")

    @classmethod
    def of(cls, rows: Any) -> "Ragged":
        """Makes ragged arrays of any sequences of integers (or returns ragged arrays as they are).

        Args:
            rows: lists of lists; arrays of two dimensions, or lists of arrays (NumPy, JAX, torch);
                a column of lists (Arrow, polars, pandas).

        Raises:
            InputError: it is not a sequence of sequences, or something in one of them is not an
                integer that fits int32.
        """
        if isinstance(rows, Ragged):
            return rows
        return cls.of_flat(flat(rows))

    @classmethod
    def of_flat(cls, given: FlatSequences) -> "Ragged":
        """Makes ragged arrays of numbers that `o2v_jax.data.sequences.flat` found.

        Raises:
            InputError: they are not integers that fit int32.
        """
        return cls(_convert_ids(given.values), offsets_of(given.lengths))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Index:
        """Int64 `[rows]`, tokens in each row."""
        return self.offsets[1:] - self.offsets[:-1]

    @classmethod
    def concatenate(cls, parts: "Sequence[Ragged]") -> "Ragged":
        """The rows of all parts, one after the other.

        >>> Ragged.concatenate([Ragged.of([[3, 1], [5]]), Ragged.of([[4]])]).offsets
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

    def locate(self, positions: Index) -> tuple[Index, Index]:
        """The rows that hold these positions of `ids`, and the positions within these rows.

        >>> Ragged.of([[3, 1], [], [4]]).locate(np.array([1, 2]))
        (array([0, 2]), array([1, 0]))
        """
        rows = np.searchsorted(self.offsets, positions, side="right") - 1
        return rows, positions - self.offsets[rows]

    def row(self, index: int) -> Ids:
        """The ids of one row, int32 `[length]`."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def to_lists(self) -> list[list[int]]:
        """The rows as lists.

        >>> Ragged.of([[3, 1], [], [4]]).to_lists()
        [[3, 1], [], [4]]
        """
        ids, offsets = self.ids.tolist(), self.offsets.tolist()
        return [ids[start:end] for start, end in pairwise(offsets)]

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

    def pad(self, batch: int, length: int, rows: npt.NDArray[np.integer] | None = None) -> Ids:
        """These rows, or all, as int32 `[batch, length]`, with id 0 on the right and below.

        None of them may be longer.
        """
        starts, ends = self.offsets[:-1], self.offsets[1:]
        if rows is not None:
            starts, ends = starts[rows], ends[rows]
        out = np.zeros((batch, length), np.int32)
        position = np.arange(length)
        if len(self.ids):
            filled = out[: len(starts)]
            self.ids.take(starts[:, None] + position, out=filled, mode="clip")
            filled *= position < (ends - starts)[:, None]
        return out


_NONE = np.zeros(1, np.int64)


def _needs_conversion(array: Any, kind: np.dtype[Any]) -> bool:
    return not isinstance(array, np.ndarray) or array.dtype != kind or array.ndim != 1


def _convert_offsets(offsets: npt.NDArray[Any]) -> Index:
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1 or not len(offsets):
        kind = f"{offsets.dtype} of shape {offsets.shape}"
        raise InputError(f"offsets must be integers [rows + 1], but these are {kind}")
    return offsets.astype(np.int64)


def _is_rising(offsets: Index) -> bool:
    """Whether none is less than the one before; in slices, because there may be very many."""
    if len(offsets) <= 2:  # noqa: PLR2004 - one row, as most requests have: no need of arrays
        return int(offsets[0]) <= int(offsets[-1])
    slices = (offsets[start : start + _SLICE + 1] for start in range(0, len(offsets), _SLICE))
    return all((part[1:] >= part[:-1]).all() for part in slices)


def _convert_ids(ids: npt.NDArray[Any]) -> Ids:
    if ids.ndim != 1:
        raise InputError(f"ids must be of one dimension, [tokens], but they are {ids.shape}")
    if not ids.size:
        return np.zeros(0, np.int32)
    if ids.dtype.kind not in "iu":
        raise InputError(f"token ids must be integers, but these are {ids.dtype} values")
    if not _BOUNDS.min <= ids.min() <= ids.max() <= _BOUNDS.max:
        raise InputError(f"token ids must fit int32, but they reach {ids.min()}..{ids.max()}")
    return ids.astype(np.int32)


def offsets_of(lengths: npt.NDArray[np.integer]) -> Index:
    """Row offsets, int64 `[rows + 1]`, of rows of the given lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
