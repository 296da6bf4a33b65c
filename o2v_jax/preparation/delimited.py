"""CSV and TSV files, plain or gzipped, a chunk of rows at a time.

CSV is quoted as RFC 4180 says; TSV has no quoting, so that a quotation mark in it is only that.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias, cast

import pyarrow as pa

from o2v_jax.errors import InputError, RecordError
from o2v_jax.preparation.problems import Problems
from o2v_jax.preparation.rows import CHUNK, Rows, index, places_in, positions

_GZIP = b"\x1f\x8b"
_BOM = "\ufeff"
# A cell beyond this is an opening quotation mark without its end, which would take up the file.
_LONGEST_CELL = 2**24
_SHOWN = 8  # names of columns, in a remark

# line that a row begins in -> its cells
Row: TypeAlias = tuple[int, list[str]]


def read_delimited(
    file: Path,
    wanted: Sequence[str],
    problems: Problems,
    *,
    form: Literal["csv", "tsv"],
    header: bool,
) -> Iterator[Rows]:
    """The wanted columns of a file; lines without anything in them are no rows.

    Args:
        file: its gzip is told by its first bytes, whatever it is called.
        wanted: columns, by name or by number from 0.
        problems: is told of rows that have more or fewer cells than the first, and of a header
            that nothing but `header` shows to be one.
        form: how cells are separated and quoted.
        header: whether the first row holds names.

    Raises:
        InputError: the file cannot be read, lacks a column or has no rows.
        RecordError: a line is not UTF-8 or not valid CSV.
    """
    with _opened(file) as stream:
        lines = _decoded(file, stream)
        rows = _csv(file, lines) if form == "csv" else _tsv(lines)
        first = next(rows, None)
        if first is None:
            raise InputError(f"{file}: is empty")
        at = positions(file, first[1], wanted, header=header)
        if header and not {*wanted} & {*first[1]}:
            problems.remark(f"{file}: {_taken(first[1])}")
        body = _some(file, rows) if header else chain([first], rows)
        yield from _chunks(file, _even(file, body, len(first[1]), problems), at)


def _taken(names: Sequence[str]) -> str:
    """Said where columns were given by number alone: who does so may not know of a header."""
    shown = ", ".join(
        [*(f"{name:.40}" for name in names[:_SHOWN]), *["..."][: len(names) - _SHOWN]]
    )
    return f"the first row was taken as column names: {shown}; give --no-header if it is data"


def _some(file: Path, rows: Iterator[Row]) -> Iterator[Row]:
    first = next(rows, None)
    if first is None:
        raise InputError(f"{file}: holds no rows")
    return chain([first], rows)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    try:
        with file.open("rb") as stream:
            packed = stream.peek(2)[:2] == _GZIP
            yield _unpacked(stream) if packed else stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{file}: its gzip data is damaged ({error})") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error


def _unpacked(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=stream)))


def _decoded(file: Path, stream: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(stream, 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            reason = f"is not UTF-8 ({error.reason}): convert the file to UTF-8"
            raise RecordError(f"{file}:{number}", reason) from error
        yield text.removeprefix(_BOM) if number == 1 else text


def _tsv(lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if text:
            yield number, text.split("\t")


def _csv(file: Path, lines: Iterator[str]) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    reader = csv.reader(lines, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            rule = "a cell with quotation marks stands in quotation marks and doubles its own"
            reason = f"the row that begins here is not valid CSV ({error}); {rule}"
            raise RecordError(f"{file}:{number}", reason) from error
        if cells:
            yield number, cells


def _even(file: Path, rows: Iterator[Row], width: int, problems: Problems) -> Iterator[Row]:
    """The rows of as many cells as the first."""
    for number, cells in rows:
        if len(cells) == width:
            yield number, cells
        else:
            reason = f"the row has {len(cells)} columns, but the first row has {width}"
            problems.found(f"{file}:{number}", reason)


def _chunks(file: Path, rows: Iterator[Row], at: Sequence[int]) -> Iterator[Rows]:
    places = places_in(file, ":")
    while chunk := list(islice(rows, CHUNK)):
        columns = (pa.array([cells[column] for _, cells in chunk], pa.string()) for column in at)
        yield Rows(places, index([number for number, _ in chunk]), tuple(columns))
