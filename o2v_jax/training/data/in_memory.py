"""Data sets of records that were prepared in memory."""

import logging

import numpy as np

from o2v_jax.array_types import Index
from o2v_jax.data.arrow import LabelledPairs
from o2v_jax.data.validate import resolve_max_seq_lens
from o2v_jax.data.warnings import DataWarnings
from o2v_jax.errors import InputError, RecordError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.preparation import PreparedRows
from o2v_jax.training.data.columns import MAX_LISTED, Columns
from o2v_jax.training.data.dataset import Dataset, Skipped
from o2v_jax.training.data.validation import InvalidRecords, find_invalid_records

_log = logging.getLogger("o2v_jax")


def make_dataset(
    rows: PreparedRows,
    config: Hyperparameters,
    name: str,
    *,
    skip: bool = False,
    positives: bool = False,
) -> Dataset:
    """The data set of prepared records, checked as `read_dataset` checks those of files.

    Args:
        rows: the records.
        config: says which ids and labels there are, and the length at which sequences are cut.
        name: of the part, for warnings.
        skip: leave out what cannot be used, instead of raising.
        positives: every label must be 1, because the negatives are made of these records.

    Raises:
        InputError: no record can be used.
        RecordError: names the row of the first record that cannot be used.
    """
    in0, in1 = rows.sides
    lines = np.arange(len(rows.labels))
    pairs = LabelledPairs(in0, in1, labels=rows.labels, lines=lines, negatives=rows.negatives)
    columns = Columns.of(pairs, 0)
    invalid = find_invalid_records(columns, config, positives=positives)
    errors = _find_errors(rows, invalid, config.vocab_sizes)
    if errors and not skip:
        raise errors[min(errors)]
    kept = np.setdiff1d(lines, [*errors])
    if not len(kept):
        raise InputError(f"{name}: none of the records can be used; the first: {errors[0]}")
    for side, sequences in enumerate(rows.sides):
        DataWarnings(config).check(side, sequences, name)
    DataWarnings(config).check(1, rows.negatives.rows, f"{name}: negatives")
    return _keep_records(rows, kept, config, name, errors)


def _find_errors(
    rows: PreparedRows, invalid: tuple[InvalidRecords, ...], vocab_sizes: tuple[int, int]
) -> dict[int, RecordError]:
    """What is wrong, by record; the first rule that a record breaks describes it."""
    found: dict[int, RecordError] = {}
    for rule in invalid:
        for record in rule.records.tolist():
            if record not in found:
                fault = rule.fault(record)
                where = f"{rows.where(record)}: {fault.path.removeprefix('$.')}"
                reason = fault.reason(vocab_sizes)
                found[record] = RecordError(where.removesuffix(": $"), reason)
    return found


def _keep_records(
    rows: PreparedRows,
    kept: Index,
    config: Hyperparameters,
    name: str,
    errors: dict[int, RecordError],
) -> Dataset:
    listed = tuple(str(errors[record]) for record in sorted(errors)[:MAX_LISTED])
    if errors:
        _log.warning("%s: %d bad records are skipped; the first: %s", name, len(errors), listed[0])
    return Dataset(
        *rows.sides,
        rows.labels[kept].astype(np.float32),
        resolve_max_seq_lens(config, None),
        kept if errors else None,
        Skipped(len(errors), listed),
        rows.negatives,
    )
