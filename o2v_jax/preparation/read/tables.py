"""Tables in files of any of the forms, and in folders of such files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from o2v_jax.errors import InputError
from o2v_jax.preparation.read.delimited import read_delimited
from o2v_jax.preparation.read.json_rows import read_json_lines
from o2v_jax.preparation.read.parquet import read_parquet
from o2v_jax.preparation.rows import NoRowsError, Rows
from o2v_jax.preparation.skipped_rows import SkippedRows

Form: TypeAlias = Literal["csv", "tsv", "parquet", "jsonl"]
FORMS: tuple[Form, ...] = get_args(Form)

_ENDINGS: dict[str, Form] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_OTHERS = {
    **dict.fromkeys((".zip", ".tar", ".tgz"), "unpack it"),
    **dict.fromkeys((".bz2", ".xz", ".zst"), "unpack it, or compress it by gzip"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save it as CSV"),
    **dict.fromkeys((".arrow", ".feather", ".orc", ".avro"), "write it as Parquet"),
}
_DELIMITED: tuple[Form, ...] = ("csv", "tsv")
_NO_DELIMITER = '"\r\n\0'


@dataclass(frozen=True)
class Layout:
    """How files are to be read.

    Attributes:
        form: of all of them; None: each by its ending, ignoring a trailing .gz.
        header: whether the first row of CSV and TSV holds the columns' names.
        delimiter: the separator of cells in CSV and TSV, where it is not a comma or a tab.
            With one of several characters no cell is quoted. Files whose ending says nothing are
            then CSV, or TSV where the delimiter has several characters.

    Raises:
        InputError: the delimiter cannot be one.
    """

    form: Form | None = None
    header: bool = True
    delimiter: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None and (
            not self.delimiter or any(letter in self.delimiter for letter in _NO_DELIMITER)
        ):
            unusable = "is empty or holds a quotation mark, a line end or NUL"
            raise InputError(f"the delimiter {self.delimiter!r} {unusable}")

    def choose_form(self, file: Path) -> Form:
        """The form of a file.

        Raises:
            InputError: neither this layout nor the file's ending says it.
        """
        suffix = Path(file.stem).suffix if file.suffix.lower() == ".gz" else file.suffix
        form = self.form or _ENDINGS.get(suffix.lower())
        if form is None and self.delimiter:
            form = "csv" if len(self.delimiter) == 1 else "tsv"
        if form is None:
            raise InputError(f"{file}: {_describe_unknown(file)}")
        return form

    def check(self, files: Sequence[Path]) -> None:
        """Checks that every file has a form, and that settings for CSV and TSV have a use.

        Raises:
            InputError: a file has none, or no file is CSV or TSV though a delimiter is given, or
                that there is no header.
        """
        forms = {self.choose_form(file) for file in files}
        said = "delimiter" if self.delimiter else "no-header" if not self.header else None
        if said and not forms & {*_DELIMITED}:
            shown = " and ".join(sorted(forms))
            raise InputError(f"--{said} is for CSV and TSV, but the files are {shown}")


def find_files(path: Path) -> list[Path]:
    """A file, or the files of a folder in the order of their names, those in its folders too.

    Names that begin with "." or "_" are passed over, as Spark's _SUCCESS.

    Raises:
        InputError: a folder has no files.
    """
    if not path.is_dir():
        return [path]
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    seen = [file for file in files if not _is_hidden(file.relative_to(path))]
    if not seen:
        raise InputError(f"{path}: the folder holds no files")
    return seen


def read_table(
    path: Path, wanted: Sequence[str], layout: Layout, problems: SkippedRows
) -> Iterator[Rows]:
    """The wanted columns of a file, or of all files of a folder, a few thousand rows at a time.

    Raises:
        InputError: a file cannot be read or lacks a column, or there are no rows at all.
        RecordError: names the line that cannot be read.
    """
    if not path.is_dir():
        yield from _read_file(path, wanted, layout, problems)
        return
    any_rows = False
    for file in find_files(path):
        try:
            for rows in _read_file(file, wanted, layout, problems):
                any_rows = True
                yield rows
        except NoRowsError:  # what writes a table in parts leaves some of them empty
            continue
    if not any_rows:
        raise NoRowsError(f"{path}: the files of the folder hold no rows")


def _read_file(
    file: Path, wanted: Sequence[str], layout: Layout, problems: SkippedRows
) -> Iterator[Rows]:
    form = layout.choose_form(file)
    if form == "parquet":
        return read_parquet(file, wanted)
    if form == "jsonl":
        return read_json_lines(file, wanted, problems)
    return read_delimited(
        file, wanted, problems, form=form, header=layout.header, delimiter=layout.delimiter
    )


def _describe_unknown(file: Path) -> str:
    """What to do about a file whose ending says no form."""
    if remedy := _OTHERS.get(file.suffix.lower()):
        return f"{file.suffix} files are not read: {remedy}"
    endings = ", ".join(_ENDINGS)
    return (
        f"the ending is none of {endings}: name its format by --format, or what separates its "
        "cells by --delimiter"
    )


def _is_hidden(file: Path) -> bool:
    return any(part.startswith((".", "_")) for part in file.parts)
