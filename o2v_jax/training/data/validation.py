"""Validation of labelled records against a configuration: which are invalid, and why."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Index
from o2v_jax.data import Fault, at_line, describe_outside
from o2v_jax.data.labels import describe_label, find_wrong_labels
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.records import LabelValues
from o2v_jax.data.validate import find_outside, iterate_outside
from o2v_jax.errors import RecordError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.training.data.columns import MAX_LISTED, BadLine, Columns, find_filled

_SLICE = 2**20  # values looked at together, so that memory stays flat
_NOTHING = "so there is nothing to learn from"
_EMPTY = f"both in0 and in1 are empty, {_NOTHING}"


class InvalidRecords(NamedTuple):
    """Records that one rule refuses: int64 `records` in order, and what is wrong with each."""

    records: Index
    fault: Callable[[int], Fault]


def find_invalid_records(
    columns: Columns, config: Hyperparameters, *, positives: bool = False
) -> tuple[InvalidRecords, ...]:
    """Finds the records that a configuration refuses; the first rule that fits describes a record.

    Args:
        columns: the records.
        config: gives the vocabularies and the labels.
        positives: every label must be 1, because the negatives are made of these records.
    """
    found = [
        _find_outside_vocabulary(columns, side, config.encoder(side).vocab_size) for side in (0, 1)
    ]
    found.append(_find_negatives_outside_vocabulary(columns, config.encoder(1).vocab_size))
    found.append(_find_wrong_labels(columns, config))
    if positives:
        found.append(_find_labelled_negatives(columns, config.negative_sampling_rate))
    found.append(InvalidRecords(columns.empty, partial(_describe_empty, columns)))
    return tuple(invalid for invalid in found if len(invalid.records))


@dataclass(frozen=True, eq=False)
class Validation:
    """The invalid records of one data set, read from `files`."""

    columns: Columns
    invalid: tuple[InvalidRecords, ...]
    files: Sequence[Path]
    vocab_sizes: tuple[int, int]

    @cached_property
    def records(self) -> Index:
        """The invalid records, in order."""
        return _unite([invalid.records for invalid in self.invalid])

    @property
    def count(self) -> int:
        """How many lines cannot be used."""
        return len(self.records) + self.columns.summary.bad

    def list_usable(self) -> Index | None:
        """The records that can be used, int64; None: all."""
        if not len(self.records):
            return None
        usable = np.ones(len(self.columns.labels), np.bool_)
        usable[self.records] = False
        return np.flatnonzero(usable)

    def list_errors(self, most: int = MAX_LISTED) -> list[RecordError]:
        """The first errors by file and line."""
        lines = [*self._list_bad_records(most), *self.columns.summary.faults]
        lines.sort(key=lambda bad: (bad.file, bad.line))
        return [self._make_error(bad) for bad in lines[:most]]

    def _list_bad_records(self, most: int) -> Iterator[BadLine]:
        for record in self.records[:most].tolist():
            invalid = next(part for part in self.invalid if _holds(part.records, record))
            yield BadLine(*self.columns.place(record), invalid.fault(record))

    def _make_error(self, bad: BadLine) -> RecordError:
        where = f"{at_line(str(self.files[bad.file]), bad.line)} {bad.fault.path}"
        return RecordError(where, bad.fault.reason(self.vocab_sizes))


def _find_outside_vocabulary(columns: Columns, side: int, size: int) -> InvalidRecords:
    rows = (columns.in0, columns.in1)[side]

    def describe(record: int) -> Fault:
        row = rows.row(record)
        at = int(find_outside(row, size)[0])
        return Fault(f"$.in{side}[{at}]", describe_outside(int(row[at]), size))

    fits = columns.summary.largest[side] < size
    return InvalidRecords(
        np.zeros(0, np.int64) if fits else _find_outside_rows(rows, size), describe
    )


def _find_negatives_outside_vocabulary(columns: Columns, size: int) -> InvalidRecords:
    def describe(record: int) -> Fault:
        rows = columns.negatives.take(np.array([record])).rows
        value, row, at = next(iterate_outside(rows, size))
        return Fault(f"$.negatives[{row}][{at}]", describe_outside(value, size))

    if columns.summary.largest[2] < size:
        return InvalidRecords(np.zeros(0, np.int64), describe)
    rows = _find_outside_rows(columns.negatives.rows, size)
    return InvalidRecords(np.unique(columns.negatives.records[rows]), describe)


def _describe_empty(columns: Columns, record: int) -> Fault:
    empty = np.flatnonzero(~find_filled(columns.negatives.take(np.array([record])).rows))
    if not len(empty):
        return Fault("$", _EMPTY)
    return Fault(f"$.negatives[{empty[0]}]", f"the negative is empty, {_NOTHING}")


def _find_outside_rows(rows: Ragged, size: int) -> Index:
    """The rows that hold an id of `size` or more."""
    found = []
    for start in range(0, len(rows.ids), _SLICE):
        at = start + find_outside(rows.ids[start : start + _SLICE], size)
        found.append(np.unique(rows.locate(at)[0]))
    return _unite(found)


def _find_wrong_labels(columns: Columns, config: Hyperparameters) -> InvalidRecords:
    def describe(record: int) -> Fault:
        return describe_label(float(columns.labels[record]), config)

    return InvalidRecords(
        _find_in_slices(columns.labels, lambda labels: find_wrong_labels(labels, config)), describe
    )


def _find_labelled_negatives(columns: Columns, rate: int) -> InvalidRecords:
    rule = f"negative_sampling_rate={rate} makes the negatives: every record must have label 1"

    def describe(record: int) -> Fault:
        return Fault("$.label", f"{columns.labels[record]:g} is given, but {rule}")

    return InvalidRecords(_find_in_slices(columns.labels, lambda labels: labels != 1), describe)


def _find_in_slices(
    labels: LabelValues, wrong: Callable[[LabelValues], npt.NDArray[np.bool_]]
) -> Index:
    starts = range(0, len(labels), _SLICE)
    return _unite([start + np.flatnonzero(wrong(labels[start:][:_SLICE])) for start in starts])


def _unite(parts: Sequence[Index]) -> Index:
    return np.unique(np.concatenate([np.zeros(0, np.int64), *parts]))


def _holds(records: Index, record: int) -> bool:
    at = int(np.searchsorted(records, record))
    return at < len(records) and int(records[at]) == record
