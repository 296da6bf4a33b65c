"""CSV and TSV files, plain or gzipped, a chunk of rows at a time.

CSV is quoted as RFC 4180 says; TSV has no quoting, so that a quotation mark in it is only that.
"""

import csv
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from o2v_jax.errors import InputError, RecordError
from o2v_jax.preparation.read.lines import CONVERT, open_lines
from o2v_jax.preparation.rows import (
    ROWS_PER_CHUNK,
    Cells,
    NoRowsError,
    Rows,
    find_positions,
    make_place_template,
    to_index,
)
from o2v_jax.preparation.skipped_rows import SkippedRows
from o2v_jax.util import is_unicode

# A cell beyond this is an opening quotation mark without its end, which would take up the file.
_LONGEST_CELL = 2**24
_SHOWN = 8  # names of columns, in a remark
_BETWEEN = {"csv": ",", "tsv": "\t"}
# a longer one before those that are part of it; the blank last, as it also stands within names
_USUAL = ("\t", "::", "||", ";", "|", ",", "^", " ")
_NOT_UTF8 = f"is not UTF-8: {CONVERT}"
_QUOTING = (
    "quote a cell that holds quotation marks, and double them; "
    "--format tsv reads cells that are never quoted"
)
_UNCLOSED = "is a quotation mark not closed?"
_RETURN = "a carriage return is alone: end lines with a line feed (tr '\\r' '\\n')"

# line that a row begins in -> its cells
NumberedRow: TypeAlias = tuple[int, list[str]]


def read_delimited(
    file: Path,
    wanted: Sequence[str],
    problems: SkippedRows,
    *,
    form: Literal["csv", "tsv"],
    header: bool,
    delimiter: str | None = None,
) -> Iterator[Rows]:
    """The wanted columns of a file; lines without anything in them are not rows.

    Args:
        file: gzip is recognized by its first bytes, not by the name.
        wanted: columns, by name or by number from 0.
        problems: collects rows that have more or fewer cells than the first, rows with cells that
            are not text, and a remark where nothing but `header` shows that there is a header.
        form: how cells are separated and quoted.
        header: whether the first row holds names.
        delimiter: the separator of cells instead; one of several characters excludes quoting.

    Raises:
        NoRowsError: the file is empty, or holds nothing but a header.
        InputError: the file cannot be read or lacks a column.
        RecordError: a line is too long or not valid CSV, or the header is not UTF-8.
    """
    between = delimiter or _BETWEEN[form]
    with open_lines(file) as lines:
        # a byte that is not UTF-8 becomes half a surrogate pair, which matters in wanted cells only
        texts = (line.decode(errors="surrogateescape") for line in lines)
        quoted = form == "csv" and len(between) == 1
        rows = _read_csv(file, texts, between) if quoted else _split_lines(file, texts, between)
        first = next(rows, None)
        if first is None:
            raise NoRowsError(f"{file}: is empty")
        at = _find_positions(file, first, wanted, between, header=header)
        if header and not {*wanted} & {*first[1]}:
            problems.remark(f"{file}: {_describe_header(first[1])}")
        body = _require_rows(file, rows) if header else chain([first], rows)
        even = _require_width(file, body, len(first[1]), problems)
        yield from _make_chunks(file, even, at, problems)


def _find_positions(
    file: Path, first: NumberedRow, wanted: Sequence[str], between: str, *, header: bool
) -> list[int]:
    number, cells = first
    if header and not all(map(is_unicode, cells)):
        raise RecordError(f"{file}:{number}", _NOT_UTF8)
    try:
        return find_positions(file, cells, wanted, header=header)
    except InputError as error:
        raise InputError(f"{error}{_suggest_layout(cells, wanted, between)}") from None


def _suggest_layout(cells: Sequence[str], wanted: Sequence[str], between: str) -> str:
    """How to read the file instead, if the first row then has the wanted columns."""
    line = between.join(cells)
    if line.lstrip().startswith("{"):
        return "; the file looks like JSON Lines: give --format jsonl"
    bare = {*_strip_names(cells)}
    if {*wanted} & bare.difference(cells) and {*wanted} <= bare.union(cells):
        quoted = f"; where cells are quoted, give --format csv --delimiter {between!r}"
        return quoted if '"' in line else "; blanks beside a name are part of it"
    for other in _USUAL:
        names = _strip_names(line.split(other))
        numbers = map(str, range(len(names)))
        if other != between and len(names) > 1 and {*wanted} <= {*names, *numbers}:
            return f"; {other!r} seems to separate its cells: give --delimiter {other!r}"
    return ""


def _strip_names(names: Sequence[str]) -> list[str]:
    return [name.strip().strip('"') for name in names]


def _describe_header(names: Sequence[str]) -> str:
    """A remark for columns that were given by number alone: the first row may not be a header."""
    shown = ", ".join(
        [*(f"{name:.40}" for name in names[:_SHOWN]), *["..."][: len(names) - _SHOWN]]
    )
    return f"the first row was taken as column names: {shown}; give --no-header if it is data"


def _require_rows(file: Path, rows: Iterator[NumberedRow]) -> Iterator[NumberedRow]:
    first = next(rows, None)
    if first is None:
        raise NoRowsError(f"{file}: holds no rows")
    return chain([first], rows)


def _split_lines(file: Path, lines: Iterator[str], between: str) -> Iterator[NumberedRow]:
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if number == 1 and "\r" in text:
            raise RecordError(f"{file}:1", _RETURN)
        if text:
            yield number, text.split(between)


def _read_csv(file: Path, lines: Iterator[str], between: str) -> Iterator[NumberedRow]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    reader = csv.reader(lines, strict=True, delimiter=between)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise RecordError(f"{file}:{number}", _explain_csv_error(str(error))) from error
        if cells:
            yield number, cells


def _explain_csv_error(error: str) -> str:
    rule = _RETURN if "new-line" in error else _UNCLOSED if "limit" in error else _QUOTING
    return f"the row that begins here is not valid CSV ({error}); {rule}"


def _require_width(
    file: Path, rows: Iterator[NumberedRow], width: int, problems: SkippedRows
) -> Iterator[NumberedRow]:
    """The rows of as many cells as the first."""
    for number, cells in rows:
        if len(cells) == width:
            yield number, cells
        else:
            reason = f"the row has {len(cells)} columns, but the first row has {width}"
            problems.report(f"{file}:{number}", reason)


def _make_chunks(
    file: Path, rows: Iterator[NumberedRow], at: Sequence[int], problems: SkippedRows
) -> Iterator[Rows]:
    places = make_place_template(file, ":")
    while chunk := list(islice(rows, ROWS_PER_CHUNK)):
        columns = _make_columns(chunk, at)
        if columns is None:
            chunk = list(_require_readable(file, chunk, at, problems))
            columns = _make_columns(chunk, at) or ()
        yield Rows(places, to_index([number for number, _ in chunk]), columns)


def _make_columns(chunk: Sequence[NumberedRow], at: Sequence[int]) -> tuple[Cells, ...] | None:
    """The wanted columns, or None if a cell is not text."""
    try:
        columns = (*(pa.array([cells[c] for _, cells in chunk], pa.string()) for c in at),)
    except UnicodeEncodeError:
        return None
    nul = any(pc.any(pc.match_substring(column, "\0")).as_py() for column in columns)
    return None if nul else columns


def _require_readable(
    file: Path, chunk: Sequence[NumberedRow], at: Sequence[int], problems: SkippedRows
) -> Iterator[NumberedRow]:
    for number, cells in chunk:
        wanted = [cells[column] for column in at]
        if any("\0" in cell for cell in wanted):
            problems.report(f"{file}:{number}", "the row holds a NUL character")
        elif not all(map(is_unicode, wanted)):
            problems.report(f"{file}:{number}", _NOT_UTF8)
        else:
            yield number, cells
