"""Blocks of records read by pyarrow: fast, and only what is plainly right.

pyarrow also takes what JSON Lines do not allow (several records in a line, a record over several
lines, NaN, null for a missing field), so a block counts only if nothing of that kind can be in it.
Whatever is refused here is read, or explained, line by line.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json as pj

from o2v_jax.data.ragged import Index, Ragged

_IDS = pa.list_(pa.int32())
_SCHEMA = pa.schema([("label", pa.float64()), ("in0", _IDS), ("in1", _IDS)])
# In a field that is not looked at anything could stand: "error" leaves such lines to the others.
_PARSE = pj.ParseOptions(explicit_schema=_SCHEMA, unexpected_field_behavior="error")
_READ = pj.ReadOptions(use_threads=True, block_size=2**20)  # what one thread parses at a time
_NEWLINE, _RETURN, _OPEN = b"\n\r{"


class Plain(NamedTuple):
    """Records: their sides, labels (float64 `[records]`), and lines (int64, from 0)."""

    in0: Ragged
    in1: Ragged
    labels: npt.NDArray[np.float64]
    lines: Index


class Sides(NamedTuple):
    """Records that all give the same: both sides, or one of them and None for the other."""

    in0: Ragged | None
    in1: Ragged | None


def read_plain(text: bytes) -> Plain | None:
    """The records of whole lines, if every line is blank or plainly one record."""
    lines = _object_lines(text)
    table = _table(text, lines)
    if table is None or lines is None or any(column.null_count for column in table.columns):
        return None
    in0, in1, labels = _ragged(table["in0"]), _ragged(table["in1"]), table["label"].to_numpy()
    if in0 is None or in1 is None or not np.isfinite(labels).all():
        return None
    return Plain(in0, in1, labels, lines)


def read_sides(text: bytes) -> Sides | None:
    """The same without labels, which may stand there, and perhaps with one side only."""
    table = _table(text, _object_lines(text))
    # a name with an escape in it could not be found below
    if table is None or b"\\" in text or not _plain_labels(table["label"]):
        return None
    given = [name for name in ("in0", "in1") if name.encode() in text]
    sides = {name: _ragged(table[name]) for name in given if not table[name].null_count}
    if not given or len(sides) != len(given) or None in sides.values():
        return None
    return Sides(sides.get("in0"), sides.get("in1"))


def _plain_labels(labels: pa.ChunkedArray) -> bool:
    """Whether none of them is what JSON does not have, such as NaN."""
    return bool(np.isfinite(labels.drop_null().to_numpy()).all())


def _table(text: bytes, lines: Index | None) -> pa.Table | None:
    """As many rows as there are lines, or None."""
    if lines is None or not len(lines):
        return None
    try:
        table = pj.read_json(pa.BufferReader(text), read_options=_READ, parse_options=_PARSE)
    except pa.ArrowException:
        return None
    return table if table.num_rows == len(lines) else None


def _object_lines(text: bytes) -> Index | None:
    """The numbers, from 0, of the lines that are not empty, if all of these begin with `{`.

    Every one of them then begins a record, because there is no second `{` in a record that only
    holds the known fields. As many records as lines therefore means one record a line.
    """
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)
    if len(text) and data[-1] != _NEWLINE:
        ends = np.append(ends, len(text))
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])[: len(ends)]
    ends = ends - ((ends > starts) & (data[ends - 1] == _RETURN))
    lines = np.flatnonzero(ends > starts)
    return lines if (data[starts[lines]] == _OPEN).all() else None


def _ragged(column: pa.ChunkedArray) -> Ragged | None:
    """Lists of ids as ragged arrays, if they hold neither null nor a negative number."""
    lists = column.combine_chunks()
    values = lists.flatten()
    if values.null_count:
        return None
    ids = values.to_numpy()
    if ids.min(initial=0) < 0:
        return None
    offsets = lists.offsets.to_numpy().astype(np.int64)
    return Ragged(ids, offsets - offsets[0])
