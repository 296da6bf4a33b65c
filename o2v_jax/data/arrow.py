"""Records read by Arrow: requests for scoring, and labelled pairs for training.

Scoring stops at the first bad line. Training reads blocks of whole lines, goes on after a bad one
and needs no Python object per record.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from o2v_jax.array_types import Index
from o2v_jax.data.negatives import NO_NEGATIVES, Negatives
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.records import TRAINING_LINE, LabelValues, Pairs, decode_utf8
from o2v_jax.data.validate import Fault, explain

_LIST_TYPES = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)
_IDS = pa.list_(pa.int32())
_SCHEMA = pa.schema([("label", pa.float64()), ("in0", _IDS), ("in1", _IDS)])
# An unknown field could hold anything: with "error" such lines are left to the other readers.
_PARSE = pj.ParseOptions(explicit_schema=_SCHEMA, unexpected_field_behavior="error")
_PARSE_NEGATIVES = pj.ParseOptions(
    explicit_schema=_SCHEMA.append(pa.field("negatives", pa.list_(_IDS))),
    unexpected_field_behavior="error",
)
_READ = pj.ReadOptions(use_threads=True, block_size=2**20)  # what one thread parses at a time
_NEWLINE, _RETURN, _OPEN = b"\n\r{"


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledPairs(Pairs):
    """The labelled pairs of consecutive lines.

    Attributes:
        labels: float64 `[records]`.
        lines: int64 `[records]`, line numbers.
        negatives: hard negatives of the records.
        bad: how many lines are neither blank nor a record.
        faults: the numbers of the first bad lines, and what is wrong with them.
    """

    labels: LabelValues
    lines: Index
    negatives: Negatives = NO_NEGATIVES
    bad: int = 0
    faults: tuple[tuple[int, Fault], ...] = ()


class ArrowSides(NamedTuple):
    """Records that all give the same: both sides, or one of them and None for the other."""

    in0: Ragged | None
    in1: Ragged | None


def is_list_type(kind: pa.DataType) -> bool:
    """Whether this is one of Arrow's types of lists, of any layout."""
    return any(is_kind(kind) for is_kind in _LIST_TYPES)


def spell_cells(column: pa.Array) -> pa.Array:
    """Single values as text: a float that is an integer with its fraction, as CSV and JSON have it.

    NaN, by which pandas says that a value is missing, is null.

    >>> spell_cells(pa.array([2.0, 1.5, float("nan")])).to_pylist()
    ['2.0', '1.5', None]
    """
    if not pa.types.is_floating(column.type):
        return column.cast(pa.string())
    texts = pc.if_else(pc.is_nan(column), None, column).cast(pa.string())
    bare = pc.match_substring_regex(texts, r"^-?[0-9]+$")
    return pc.if_else(bare, pc.binary_join_element_wise(texts, ".0", ""), texts)


def is_text_type(kind: pa.DataType) -> bool:
    """Whether this is one of Arrow's types of strings."""
    kinds = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view
    return any(is_kind(kind) for is_kind in kinds)


def read_plain(text: bytes, first: int = 1) -> LabelledPairs | None:
    """The records of whole lines, if every line is blank or plainly one record.

    The lines are numbered from `first`.
    """
    lines, has_negatives = _find_object_lines(text), b"negatives" in text
    table = _read_table(text, lines, _PARSE_NEGATIVES if has_negatives else _PARSE)
    if table is None or lines is None or any(table[name].null_count for name in _SCHEMA.names):
        return None
    in0, in1, labels = _read_ids(table["in0"]), _read_ids(table["in1"]), table["label"].to_numpy()
    negatives = _read_negatives(table["negatives"]) if has_negatives else NO_NEGATIVES
    if in0 is None or in1 is None or negatives is None or not np.isfinite(labels).all():
        return None
    return LabelledPairs(in0, in1, labels=labels, lines=lines + first, negatives=negatives)


def read_sides(text: bytes) -> ArrowSides | None:
    """The sides of whole lines, if each plainly gives the same ones; labels are allowed."""
    table = _read_table(text, _find_object_lines(text), _PARSE)
    # a name with an escape in it could not be found below
    if table is None or b"\\" in text or not _are_finite(table["label"]):
        return None
    given = [name for name in ("in0", "in1") if name.encode() in text]
    sides = {name: _read_ids(table[name]) for name in given if not table[name].null_count}
    if not given or len(sides) != len(given) or None in sides.values():
        return None
    return ArrowSides(sides.get("in0"), sides.get("in1"))


def _are_finite(labels: pa.ChunkedArray) -> bool:
    """Whether none of them is what JSON does not have, such as NaN."""
    return bool(np.isfinite(labels.drop_null().to_numpy()).all())


def _read_table(text: bytes, lines: Index | None, parse: pj.ParseOptions) -> pa.Table | None:
    """A table of as many rows as there are lines, or None."""
    if lines is None or not len(lines):
        return None
    try:
        table = pj.read_json(pa.BufferReader(text), read_options=_READ, parse_options=parse)
    except pa.ArrowException:
        return None
    return table if table.num_rows == len(lines) else None


def _find_object_lines(text: bytes) -> Index | None:
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


def _read_ids(column: pa.ChunkedArray) -> Ragged | None:
    """Lists of ids as ragged arrays, if they hold neither null nor a negative number."""
    return _make_ragged(column.combine_chunks())


def _make_ragged(lists: "pa.ListArray[Any]") -> Ragged | None:
    values = lists.flatten()
    if values.null_count:
        return None
    ids = values.to_numpy()
    if ids.min(initial=0) < 0:
        return None
    offsets = lists.offsets.to_numpy().astype(np.int64)
    return Ragged(ids, offsets - offsets[0])


def _read_negatives(column: pa.ChunkedArray) -> Negatives | None:
    """Lists of lists of ids; null, as where the field is absent, is an empty list."""
    lists = column.combine_chunks()
    rows = lists.flatten()
    ids = None if rows.null_count else _make_ragged(rows)
    if ids is None:
        return None
    return Negatives.of_counts(ids, pc.list_value_length(lists).fill_null(0).to_numpy())


def read_labelled(text: bytes, first: int = 1, *, explained: int = 1000) -> LabelledPairs:
    r"""The records of whole lines.

    Args:
        text: lines, numbered from `first`, without a byte order mark.
        first: the number of the first line.
        explained: of how many bad lines, at most, `faults` says what is wrong.

    >>> pairs = read_labelled(b'{"label": 1, "in0": [3], "in1": []}\n[]')
    >>> pairs.in0.ids, pairs.bad, pairs.faults[0][0]
    (array([3], dtype=int32), 1, 2)
    """
    plain = read_plain(text, first)
    return read_each_line(text, first, explained=explained) if plain is None else plain


def read_each_line(text: bytes, first: int = 1, *, explained: int = 1000) -> LabelledPairs:
    """As `read_labelled`, a line at a time; this reader defines what a record is."""
    rows, lines, faults, bad = [], [], [], 0
    for number, line in enumerate(text.split(b"\n"), first):
        if not line or line.isspace():
            continue
        try:
            rows.append(decode_utf8(TRAINING_LINE, line))
            lines.append(number)
        except (ValueError, RecursionError) as error:
            bad += 1
            if bad <= explained:
                faults.append((number, explain(error, line, is_line=True)))
    return LabelledPairs(
        Ragged.of([row.in0 for row in rows]),
        Ragged.of([row.in1 for row in rows]),
        labels=np.fromiter((row.label for row in rows), np.float64, len(rows)),
        lines=np.array(lines, np.int64),
        negatives=Negatives.of([row.negatives for row in rows]),
        bad=bad,
        faults=tuple(faults),
    )
