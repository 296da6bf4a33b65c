"""Labelled records for training and evaluation."""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Index
from o2v_jax.cache_directory import cache_directory
from o2v_jax.data import Records
from o2v_jax.data.labels import describe_label, find_wrong_labels
from o2v_jax.data.negatives import NO_NEGATIVES, Negatives
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.validate import resolve_max_seq_lens
from o2v_jax.data.warnings import DataWarnings
from o2v_jax.errors import InputError, RecordError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.training.data.cache import BLOCK_BYTES, Reading, read_columns
from o2v_jax.training.data.columns import Columns
from o2v_jax.training.data.validation import (
    InvalidRecords,
    Validation,
    find_invalid_records,
)
from o2v_jax.util import require_all_local

RowLengths: TypeAlias = npt.NDArray[np.int32]

_log = logging.getLogger("o2v_jax")

_UNCUT = (2**31 - 1, 2**31 - 1)
_NAMED = 3  # files that a message names
_SLICE = 2**20  # records looked at together, so that memory stays flat


@dataclass(frozen=True)
class Skipped:
    """Records that were left out: how many, and what is wrong with the first 1000 of them."""

    count: int = 0
    listed: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pairs with labels.

    Attributes:
        in0: the in0 sides as they were read, perhaps mapped from a file.
        in1: the in1 sides, as many rows.
        labels: float32 `[records]`.
        longest: the max_seq_len of each side, at which its sequences are cut when they are taken.
        kept: int64 `[records]`, the rows of `in0` and `in1` that are records; None: all.
        skipped: what was left out.
        negatives: hard negatives of the rows of `in0` and `in1`.
    """

    in0: Ragged
    in1: Ragged
    labels: npt.NDArray[np.float32]
    longest: tuple[int, int] = _UNCUT
    kept: Index | None = None
    skipped: Skipped = Skipped()
    negatives: Negatives = NO_NEGATIVES

    def __len__(self) -> int:
        return len(self.labels)

    def lengths(self, side: int) -> RowLengths:
        """Tokens of every record on a side (0 or 1) after the cut, int32 `[records]`."""
        return self._lengths[side]

    @cached_property
    def _lengths(self) -> tuple[RowLengths, RowLengths]:
        return self._measure_lengths(self.in0, self.longest[0]), self._measure_lengths(
            self.in1, self.longest[1]
        )

    def _measure_lengths(self, rows: Ragged, longest: int) -> RowLengths:
        out = np.empty(len(self), np.int32)
        for at, lengths in self._measure_uncut(rows):
            out[at] = np.minimum(lengths, longest)
        return out

    def over(self, side: int) -> int:
        """How many sequences of a side (0 or 1) are cut."""
        uncut = self._measure_uncut((self.in0, self.in1)[side])
        return sum(int((lengths > self.longest[side]).sum()) for _, lengths in uncut)

    def _measure_uncut(self, rows: Ragged) -> Iterator[tuple[slice, Index]]:
        """Slices of the records, with the lengths of their rows."""
        for start in range(0, len(self), _SLICE):
            at = slice(start, start + _SLICE)
            chosen = at if self.kept is None else self.kept[at]
            yield at, rows.offsets[1:][chosen] - rows.offsets[:-1][chosen]

    def rows(self, side: int, index: npt.NDArray[np.integer]) -> Ragged:
        """The sequences of the records `index` on a side (0 or 1), cut, in the order of `index`."""
        chosen = index if self.kept is None else self.kept[index]
        return (self.in0, self.in1)[side].take(chosen, self.longest[side])

    @cached_property
    def negative_counts(self) -> RowLengths:
        """How many hard negatives each record has, int32 `[records]`."""
        counts = np.bincount(self.negatives.records, minlength=len(self.in0)).astype(np.int32)
        return counts if self.kept is None else counts[self.kept]

    @cached_property
    def longest_negatives(self) -> RowLengths:
        """Tokens of the longest hard negative of each record after the cut, int32 `[records]`."""
        found = np.zeros(len(self.in0), np.int32)
        lengths = np.minimum(self.negatives.rows.lengths, self.longest[1]).astype(np.int32)
        np.maximum.at(found, self.negatives.records, lengths)
        return found if self.kept is None else found[self.kept]

    def choose_negatives(self, index: npt.NDArray[np.integer], most: int, first: int = 0) -> Index:
        """Rows of `negatives`: at most `most` of each of the records `index`; see `Negatives`."""
        chosen = index if self.kept is None else self.kept[index]
        return self.negatives.choose(chosen, most, first)

    def take_negatives(self, rows: Index) -> Ragged:
        """The sequences of these rows of `negatives`, cut."""
        return self.negatives.rows.take(rows, self.longest[1])

    def hash(self) -> str:
        """The SHA-256 of the records: their ids, uncut, labels and negatives, in order."""
        digest = hashlib.sha256()
        for rows in (self.in0, self.in1):
            _add_rows(digest, rows if self.kept is None else rows.take(self.kept))
        digest.update(self.labels.tobytes())
        if len(self.negatives):
            negatives = self.negatives if self.kept is None else self.negatives.take(self.kept)
            _add_rows(digest, negatives.rows)
            digest.update(negatives.records.tobytes())
        return digest.hexdigest()

    def histograms(self) -> tuple[Index, Index]:
        """For each side: how many sequences there are of every length, int64 `[longest + 1]`."""
        return np.bincount(self.lengths(0)), np.bincount(self.lengths(1))


def warn_of_unused_negatives(config: Hyperparameters, data: Dataset) -> None:
    """Logs that training does not use the hard negatives of its records, if it has any."""
    if len(data.negatives) and config.objective is None:
        reason = "hard negatives are for the in-batch objective (--objective in_batch)"
        _log.warning("negatives of the training records are not used: %s", reason)


def _add_rows(digest: "hashlib._Hash", rows: Ragged) -> None:
    digest.update(rows.ids.tobytes())
    digest.update(rows.offsets.tobytes())


def read_dataset(
    files: Sequence[Path],
    config: Hyperparameters,
    *,
    skip: bool = False,
    positives: bool = False,
    cache: Path | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Dataset:
    """Reads JSON Lines files of {"label": y, "in0": [...], "in1": [...]} records, in order.

    A record may also have "negatives": [[...], ...], in1 that are known to be wrong for its in0.

    The files may be larger than memory: they are read once, and their columns are kept in the
    cache, mapped. A warning is logged, once a side, if any sequences are longer than max_seq_len
    and if id 0 stands inside any.

    Args:
        files: at least one.
        config: says which ids and labels there are, and the length at which sequences are cut.
        skip: leave out what cannot be used, instead of raising.
        positives: every label must be 1, because the negatives are made of these records.
        cache: the directory of the cache; None: `data` in `cache_directory()`.
        block_bytes: how much of a file is read at a time.

    Raises:
        InputError: a file cannot be read, or there is no record in any that can be used.
        RecordError: names the file, the line and the JSON path of the first thing that is wrong.
    """
    if not files:
        raise InputError("no file is given to read records from")
    require_all_local(*files, cache)

    def validate(columns: Columns) -> tuple[InvalidRecords, ...]:
        return find_invalid_records(columns, config, positives=positives)

    def stop(part: Columns) -> bool:
        return not skip and bool(part.summary.bad or validate(part))

    columns = read_columns(Reading(files, stop, block_bytes), cache or cache_directory() / "data")
    validation = Validation(columns, validate(columns), files, config.vocab_sizes)
    _require_usable(validation, skip=skip)
    return _keep_usable(validation, config)


def _require_usable(validation: Validation, *, skip: bool) -> None:
    usable = len(validation.columns.labels) - len(validation.records)
    if validation.count and not skip:
        raise validation.list_errors(1)[0]
    if validation.count and not usable:
        first = validation.list_errors(1)[0]
        reason = f"none of its {validation.count} records can be used; the first: {first}"
        raise InputError(f"{_list_files(validation.files)}: {reason}")
    if not usable:
        raise InputError(f"{_list_files(validation.files)}: holds no records")


def _keep_usable(validation: Validation, config: Hyperparameters) -> Dataset:
    columns, kept = validation.columns, validation.list_usable()
    labels = (columns.labels if kept is None else columns.labels[kept]).astype(np.float32)
    skipped = (
        Skipped(validation.count, tuple(map(str, validation.list_errors())))
        if validation.count
        else Skipped()
    )
    longest = resolve_max_seq_lens(config, None)
    data = Dataset(columns.in0, columns.in1, labels, longest, kept, skipped, columns.negatives)
    zeros, name = columns.summary.zero_inside, _list_files(validation.files)
    notices = DataWarnings(config)
    for side in (0, 1):
        notices.warn(side, data.over(side), zeros[side], name)
    over = int((columns.negatives.rows.lengths > longest[1]).sum())
    DataWarnings(config).warn(1, over, zeros[2], f"{name}: negatives")
    return data


def _list_files(files: Sequence[Path]) -> str:
    more = [f"{len(files) - _NAMED} more files"] if len(files) > _NAMED else []
    return ", ".join([*map(str, files[:_NAMED]), *more])


def collect_dataset(chunks: Iterable[Records], config: Hyperparameters, name: str) -> Dataset:
    """Labelled records as one data set; sequences are cut at the max_seq_len of their side.

    A warning is logged, once a side, if any are cut and if id 0 stands inside any.

    Raises:
        InputError: there is no record.
        RecordError: a record lacks a side, or its label is not one of this configuration.
    """
    kept = [_check_records(chunk, config) for chunk in chunks]
    if not kept:
        raise InputError(f"{name}: holds no records")
    in0 = Ragged.concatenate([records.in0 for records in kept])
    in1 = Ragged.concatenate([records.in1 for records in kept])
    notices = DataWarnings(config)
    for side, rows in enumerate((in0, in1)):
        notices.check(side, rows, name)
    longest = resolve_max_seq_lens(config, None)
    labels = [records.labels for records in kept if records.labels is not None]
    return Dataset(in0, in1, np.concatenate(labels).astype(np.float32), longest)


def _check_records(records: Records, config: Hyperparameters) -> Records:
    _check_pairs(records)
    _check_labels(records, config)
    return records


def _check_pairs(records: Records) -> None:
    incomplete = ~(records.has0 & records.has1)
    if incomplete.any():
        where = records.places.of(int(incomplete.argmax()))
        raise RecordError(where, "a labelled record needs both in0 and in1")


def _check_labels(records: Records, config: Hyperparameters) -> None:
    assert records.labels is not None  # noqa: S101 - read with labelled=True
    wrong = find_wrong_labels(records.labels, config)
    if wrong.any():
        at = int(wrong.argmax())
        reason = describe_label(float(records.labels[at]), config).text
        raise RecordError(records.places.of(at, ".label"), reason)
