"""Parquet files, a chunk of rows at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from o2v_jax.data.file_types import HEAD_BYTES
from o2v_jax.errors import InputError
from o2v_jax.preparation.read.batches import read_batches
from o2v_jax.preparation.read.lines import describe_kind
from o2v_jax.preparation.rows import (
    ROWS_PER_CHUNK,
    NoRowsError,
    Rows,
    find_positions,
    make_place_template,
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
            yield from _read_chunks(file, table, wanted)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        hint = _suggest_form(file)
        raise InputError(f"{file}: cannot be read as Parquet ({reason}){hint}") from error


def _suggest_form(file: Path) -> str:
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


def _read_chunks(file: Path, table: pq.ParquetFile, wanted: Sequence[str]) -> Iterator[Rows]:
    names = table.schema_arrow.names
    at = find_positions(file, names, wanted, header=True)
    if not table.metadata.num_rows:
        raise NoRowsError(f"{file}: holds no rows")
    batches = table.iter_batches(ROWS_PER_CHUNK, columns=list({names[column] for column in at}))
    places = make_place_template(file, ": row ")
    yield from read_batches(batches, names, at, source=str(file), places=places, first=1)
