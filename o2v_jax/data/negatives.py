"""Hard negatives: for each record, any number of in1 that are known to be wrong for its in0."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Index
from o2v_jax.data.ragged import Ragged, offsets_of

RecordNumbers: TypeAlias = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Negatives:
    """Hard negatives of records, of which any may have none.

    Attributes:
        rows: the token ids of each negative, record by record.
        records: int64 `[negatives]`, rising: the record that each belongs to. What has no negatives
            takes no memory so, however many records there are.
    """

    rows: Ragged
    records: Index

    def __len__(self) -> int:
        return len(self.records)

    @classmethod
    def of(cls, lists: Sequence[Sequence[Sequence[int]] | None]) -> "Negatives":
        """The negatives of each record, from lists of lists of ids; None: it has none.

        >>> Negatives.of([[[3, 4], [5]], None, [[6]]]).records
        array([0, 0, 2])
        """
        counts = np.array([len(rows or ()) for rows in lists], np.int64)
        return cls.of_counts(Ragged.of([row for rows in lists for row in rows or ()]), counts)

    @classmethod
    def of_counts(cls, rows: Ragged, counts: npt.NDArray[np.integer]) -> "Negatives":
        """The next `counts[r]` rows are the negatives of record r."""
        return cls(rows, np.repeat(np.arange(len(counts)), counts))

    @classmethod
    def sort(cls, rows: Ragged, records: Index) -> "Negatives":
        """The rows that are not empty, of which each is a negative of the given record."""
        order = np.argsort(records, kind="stable")
        order = order[rows.lengths[order] > 0]
        return cls(rows.take(order), records[order])

    @classmethod
    def concatenate(cls, parts: "Sequence[Negatives]", sizes: Sequence[int]) -> "Negatives":
        """The negatives of all parts, of which each has so many records."""
        before = offsets_of(np.array(sizes, np.int64)).tolist()
        shifted = [part.records + first for part, first in zip(parts, before, strict=False)]
        return cls(Ragged.concatenate([part.rows for part in parts]), np.concatenate(shifted))

    def find(self, records: RecordNumbers) -> tuple[Index, Index]:
        """The row in which the negatives of each record begin, and how many it has."""
        starts = np.searchsorted(self.records, records)
        return starts, np.searchsorted(self.records, records, side="right") - starts

    def take(self, records: RecordNumbers) -> "Negatives":
        """Those of the given records, in the given order.

        >>> Negatives.of([[[3, 4], [5]], None, [[6]]]).take(np.array([2, 0])).rows.to_lists()
        [[6], [3, 4], [5]]
        """
        starts, counts = self.find(records)
        which, turn = _count_up(counts)
        return Negatives(self.rows.take(starts[which] + turn), which)

    def choose(self, records: RecordNumbers, most: int, first: int = 0) -> Index:
        """The rows of at most `most` negatives of each record, int64, record by record.

        Of a record that has more they are taken in a circle, which begins elsewhere for another
        `first`: where that is drawn at random, each is equally likely.
        """
        starts, counts = self.find(records)
        which, turn = _count_up(np.minimum(counts, most))
        at: Index = starts[which] + (which + first + turn) % counts[which]
        return at

    def to_lists(self, records: int) -> list[list[list[int]]]:
        """The inverse of `of`, for so many records."""
        lists: list[list[list[int]]] = [[] for _ in range(records)]
        for record, row in zip(self.records.tolist(), self.rows.to_lists(), strict=True):
            lists[record].append(row)
        return lists


def _count_up(counts: Index) -> tuple[Index, Index]:
    """For each record its number and 0, 1, ... `counts[r]` - 1.

    >>> _count_up(np.array([2, 0, 1]))
    (array([0, 0, 2]), array([0, 1, 0]))
    """
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - offsets_of(counts)[which]


NO_NEGATIVES = Negatives(Ragged.of([]), np.zeros(0, np.int64))
