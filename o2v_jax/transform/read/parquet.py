"""Parquet in and out: the columns in0 and in1 give scores, one of them gives embeddings.

While a file is in work its results are an Arrow stream, to which batches can be added after a kill;
a Parquet file can only be written from its beginning to its end.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from o2v_jax.array_types import Index
from o2v_jax.data import DecodeOptions, Places, Records, describe_outside
from o2v_jax.data.arrow import is_list_type, spell_cells
from o2v_jax.data.ragged import Ragged, offsets_of
from o2v_jax.data.text_records import encode_values
from o2v_jax.data.tokenizers import Tokenizer
from o2v_jax.data.validate import INT32_IDS, find_outside
from o2v_jax.errors import InputError, RecordError
from o2v_jax.transform.read.parts import Part, Position
from o2v_jax.transform.read.rows import Flags, PayloadRows
from o2v_jax.transform.read.sources import open_source, show_path

PART_ROWS = 2**14
SIDES = ("in0", "in1")
SCORES = "scores"
EMBEDDINGS = "embeddings"
ERROR = "error"
_LONGEST_REASON = 300  # characters


def read_parquet_parts(path: Path, start: Position) -> Iterator[Part]:
    """The parts of a file behind `start`: rows of one row group each; a position counts rows.

    Raises:
        InputError: the file cannot be read, or has no columns of ids or texts.
    """
    with translate_arrow_errors(path, "cannot be read as Parquet"):
        try:
            yield from _read_row_groups(path, start)
        except OSError as error:
            reason = error.strerror or _shorten_message(error)  # of Arrow, it may have lines
            raise InputError(f"{show_path(path)}: cannot be read as Parquet ({reason})") from error


def _read_row_groups(path: Path, start: Position) -> Iterator[Part]:
    with open_source(path) as raw, pq.ParquetFile(raw) as file:
        _require_columns(path, file.schema_arrow)
        rows = file.metadata.num_rows
        size = path.stat().st_size
        end = start.offset
        for batch, end in _read_batches(file, start.offset):
            yield _make_part(batch, end, size * end // rows, final=end == rows)
        if end != rows:
            raise InputError(f"{show_path(path)}: has {end} rows, not the {rows} that it announces")
        if not rows:
            nothing = pa.RecordBatch.from_pylist([], schema=file.schema_arrow)
            yield _make_part(nothing, 0, size, final=True)


@contextmanager
def translate_arrow_errors(path: Path | str, what: str) -> Iterator[None]:
    """Raises what Arrow raises as an InputError that names the file."""
    try:
        yield
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{show_path(path)}: {what} ({_shorten_message(error)})") from error


def _shorten_message(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0] or type(error).__name__
    return line[:_LONGEST_REASON]


def _read_batches(file: pq.ParquetFile, start: int) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Batches behind a row, each with its end: cut alike wherever one begins to read."""
    end = 0
    for group in range(file.metadata.num_row_groups):
        if (after := end + file.metadata.row_group(group).num_rows) <= start:
            end = after
            continue
        for batch in file.iter_batches(PART_ROWS, row_groups=[group]):
            end += len(batch)
            if end > start:
                yield batch, end


def _make_part(batch: pa.RecordBatch, end: int, read: int, *, final: bool) -> Part:
    return Part([], end - len(batch) + 1, Position(end, end, read, final), batch)


def _require_columns(path: Path, schema: pa.Schema) -> None:
    given = [name for name in SIDES if name in schema.names]
    if not given:
        raise InputError(f"{show_path(path)}: has neither a column in0 nor in1")
    taken = {SCORES, EMBEDDINGS, ERROR} & set(schema.names)
    taken |= {name for name, count in Counter(schema.names).items() if count > 1}
    if taken:
        raise InputError(f"{show_path(path)}: has a column {min(taken)} already")
    for name in given:
        kind = schema.field(name).type
        if not (_holds_ids(kind) or _holds_texts(kind) or _holds_values(kind)):
            raise InputError(f"{show_path(path)}: {_describe_type_error(name, kind)}")


def _holds_ids(kind: pa.DataType) -> bool:
    """Whether cells are lists of integers, or such as hold none because all are null."""
    kind = _get_storage_type(kind)
    if not is_list_type(kind):
        return bool(pa.types.is_null(kind))
    values = _get_storage_type(kind.value_type)
    return bool(pa.types.is_integer(values) or pa.types.is_null(values))


def _holds_texts(kind: pa.DataType) -> bool:
    """Whether cells are texts, or lists of tokens."""
    kind = _get_storage_type(kind)
    if is_list_type(kind):
        kind = _get_storage_type(kind.value_type)
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_kind(kind) for is_kind in is_kinds)


def _holds_values(kind: pa.DataType) -> bool:
    """Whether cells are single numbers, truth values or dates, as a column of users' numbers is."""
    kind = _get_storage_type(kind)
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_primitive(kind) or pa.types.is_decimal(kind))


def _describe_type_error(name: str, kind: pa.DataType) -> str:
    return f"column {name} must hold lists of integers, not {kind!s:.100}"


def _get_storage_type(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def read_batch(part: Part, name: str, options: DecodeOptions) -> PayloadRows:
    """The records of a batch, the bad ones too.

    Args:
        part: of a file.
        name: the file's.
        options: how records are read; texts only with tokenizers.

    Raises:
        InputError: its columns cannot be read, or hold texts that the model does not take.
    """
    with translate_arrow_errors(name, "cannot be read"):
        return _read_batch(part, name, options)


def _read_batch(part: Part, name: str, options: DecodeOptions) -> PayloadRows:
    batch = part.batch
    errors = dict[int, RecordError]()
    given = [side for side in (0, 1) if SIDES[side] in batch.schema.names]
    sides = {}
    for side in reversed(given):
        sides[side] = _read_side(batch.column(SIDES[side]), side, options, name)
        for row, path, reason in sides[side][1]:
            errors[row] = RecordError(f"{name}: row {part.line + row} {path}", reason)
    good = np.ones(len(batch), np.bool_)
    good[list(errors)] = False
    kept = {side: read.take(np.flatnonzero(good)) for side, (read, _) in sides.items()}
    in0, in1 = (kept.get(side, Ragged.of([])) for side in (0, 1))
    has0, has1 = (np.full(int(good.sum()), side in sides) for side in (0, 1))
    records = Records(in0, in1, has0=has0, has1=has1, places=Places())
    return PayloadRows(records, good, errors, np.array([0, len(batch)]))


# a row, a JSON path and a reason
_Problem: TypeAlias = tuple[int, str, str]


def _read_side(
    column: pa.Array, side: int, options: DecodeOptions, name: str
) -> tuple[Ragged, list[_Problem]]:
    """Ids, and of each bad row the first thing that is wrong."""
    if _holds_ids(column.type):
        return _read_ids(column, side, (options.vocab_sizes or (INT32_IDS, INT32_IDS))[side])
    refused = f"{show_path(name)}: {_describe_type_error(SIDES[side], column.type)}"
    are_values = _holds_values(column.type)
    if options.tokenizers is None:
        raise InputError(refused if are_values else f"{refused}: {options.text_hint}")
    tokenizer = options.tokenizers[side]
    are_lists = is_list_type(_get_storage_type(column.type))
    if (are_lists and tokenizer.kind != "tokens") or (are_values and tokenizer.kind != "value"):
        raise InputError(f"{refused}: this model takes {tokenizer.kind} there")
    return _encode_texts(_spell(column) if are_values else column, side, tokenizer)


def _spell(column: pa.Array) -> pa.Array:
    """Single values as the preparation of training data wrote them."""
    column = _unwrap_extension(column)
    return spell_cells(
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    )


def _encode_texts(
    column: pa.Array, side: int, tokenizer: Tokenizer
) -> tuple[Ragged, list[_Problem]]:
    nulls = np.flatnonzero(_find_nulls(column)).tolist()
    values = column.to_pylist()
    for row in nulls:
        values[row] = ""
    rows, refused = encode_values(tokenizer, values)
    reasons = refused | dict.fromkeys(nulls, "is null")
    return Ragged.of(rows), [(row, f"$.in{side}", reason) for row, reason in reasons.items()]


def _read_ids(column: pa.Array, side: int, size: int) -> tuple[Ragged, list[_Problem]]:
    """Ids, 0 where they are bad, and of each bad row the first thing that is wrong."""
    nulls, offsets, values = _split_lists(column)
    # NumPy compares with any integer; Arrow knows none that both uint64 and -1 fit
    ids = values.fill_null(0).to_numpy(zero_copy_only=False)
    wrong = _find_nulls(values)
    wrong[find_outside(ids, size)] = True
    at = np.flatnonzero(wrong)
    rows = np.searchsorted(offsets, at, side="right") - 1
    _, first = np.unique(rows, return_index=True)
    problems = [(int(row), f"$.in{side}", "is null") for row in np.flatnonzero(nulls)]
    for place, row in zip(at[first].tolist(), rows[first].tolist(), strict=True):
        value = values[place].as_py()
        reason = "is null" if value is None else describe_outside(value, size)
        problems.append((row, f"$.in{side}[{place - int(offsets[row])}]", reason))
    return Ragged(np.where(wrong, 0, ids).astype(np.int32), offsets), problems


def _split_lists(column: pa.Array) -> tuple[Flags, Index, pa.Array]:
    """Splits lists into which are null, their offsets, and their integers."""
    column, nulls = _unwrap_extension(column), _find_nulls(column)
    if pa.types.is_null(column.type):
        return nulls, offsets_of(np.zeros(len(column), np.int64)), pa.array([], pa.int32())
    # the length of a null of a list with a fixed size is that size
    lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    values = _unwrap_extension(pc.list_flatten(column))
    if pa.types.is_null(values.type):
        values = values.cast(pa.int32())
    return nulls, offsets_of(np.where(nulls, 0, lengths).astype(np.int64)), values


def _unwrap_extension(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _find_nulls(column: pa.Array) -> Flags:
    nulls: Flags = column.is_null().to_numpy(zero_copy_only=False)
    return nulls
