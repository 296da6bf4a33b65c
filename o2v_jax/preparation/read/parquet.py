"""Parquet files, a chunk of rows at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from o2v_jax.data.arrow import is_list_type
from o2v_jax.data.file_types import HEAD_BYTES
from o2v_jax.errors import InputError
from o2v_jax.preparation.read.lines import describe_kind
from o2v_jax.preparation.rows import (
    ROWS_PER_CHUNK,
    Cells,
    NoRowsError,
    Rows,
    find_positions,
    make_place_template,
    to_index,
)
from o2v_jax.util import is_gzip

_PRINTABLE = 32  # the first code point that shows


def read_parquet(file: Path, wanted: Sequence[str]) -> Iterator[Rows]:
    """The wanted columns of a file: lists as they are, anything else as text, null as "".

    Args:
        file: a Parquet file.
        wanted: columns, by name or by number from 0.

    Raises:
        NoRowsError: the file has none.
        InputError: the file cannot be read, lacks a column or holds no text in one.
    """
    try:
        with pq.ParquetFile(file) as table:
            yield from _chunks(file, table, wanted)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{file}: cannot be read as Parquet ({reason}){_hint(file)}") from error


def _hint(file: Path) -> str:
    """What a file that is not Parquet is, if its first bytes say it."""
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        return ""
    if not head or head.startswith(b"PAR1"):
        return ""
    if is_gzip(head):
        return ": it is compressed by gzip, which only text may be"
    if kind := describe_kind(head):
        return f": it {kind}"
    is_text = all(byte >= _PRINTABLE or byte in b"\t\r\n" for byte in head)
    return ": it looks like text: give --format csv, tsv or jsonl" if is_text else ""


def _chunks(file: Path, table: pq.ParquetFile, wanted: Sequence[str]) -> Iterator[Rows]:
    names = table.schema_arrow.names
    at = find_positions(file, names, wanted, header=True)
    if not table.metadata.num_rows:
        raise NoRowsError(f"{file}: holds no rows")
    places = make_place_template(file, ": row ")
    first = 1
    for batch in table.iter_batches(ROWS_PER_CHUNK, columns=list({names[column] for column in at})):
        columns = tuple(_cells(file, names[column], _column(batch, names, column)) for column in at)
        yield Rows(places, to_index(range(first, first + len(batch))), columns)
        first += len(batch)


def _column(batch: pa.RecordBatch, names: Sequence[str], column: int) -> Cells:
    """Of columns with one name, all of which are in the batch, the right one."""
    earlier = names[:column].count(names[column])
    return batch.column(batch.schema.get_all_field_indices(names[column])[earlier])


def _cells(file: Path, name: str, column: Cells) -> Cells:
    if isinstance(column, pa.ExtensionArray):
        return _cells(file, name, column.storage)
    if is_list_type(column.type):
        return _plain_lists(column)
    if pa.types.is_dictionary(column.type):
        return _cells(file, name, column.dictionary_decode())
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)  # how pandas writes what is missing
    try:
        return _encode_texts(column).fill_null("")
    except pa.ArrowException as error:
        wanted = "text, numbers or lists of ids are wanted"
        message = f"{file}: column {name!r} of type {column.type} cannot be read: {wanted}"
        raise InputError(message) from error


def _encode_texts(column: Cells) -> Cells:
    """Cells as text: a float that is an integer with its fraction, as CSV and JSON have it."""
    texts = column.cast(pa.string())
    if not pa.types.is_floating(column.type):
        return texts
    bare = pc.match_substring_regex(texts, r"^-?[0-9]+$")
    return pc.if_else(bare, pc.binary_join_element_wise(texts, ".0", ""), texts)


def _plain_lists(column: Cells) -> Cells:
    """Lists of one of the layouts that lists have in memory, of values without a dictionary."""
    kind = column.type.value_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if _is_text(kind):
        kind = pa.string()
    plain = pa.list_(kind)
    return column if column.type == plain else column.cast(plain)


def _is_text(kind: pa.DataType) -> bool:
    kinds = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view
    return any(is_kind(kind) for is_kind in kinds)
