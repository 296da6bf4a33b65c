"""Tables in files of any of the forms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from o2v_jax.errors import InputError
from o2v_jax.preparation.delimited import read_delimited
from o2v_jax.preparation.parquet import read_parquet
from o2v_jax.preparation.problems import Problems
from o2v_jax.preparation.rows import Rows

Form: TypeAlias = Literal["csv", "tsv", "parquet"]
FORMS: tuple[Form, ...] = get_args(Form)

_ENDINGS: dict[str, Form] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}


@dataclass(frozen=True)
class Layout:
    """How files are to be read.

    Attributes:
        form: of all of them; None: each by its ending, an ending .gz looked through.
        header: whether the first row of CSV and TSV holds the columns' names.
    """

    form: Form | None = None
    header: bool = True

    def form_of(self, file: Path) -> Form:
        """The form of a file.

        Raises:
            InputError: neither this layout nor the file's ending says it.
        """
        suffix = Path(file.stem).suffix if file.suffix.lower() == ".gz" else file.suffix
        form = self.form or _ENDINGS.get(suffix.lower())
        if form is None:
            endings = ", ".join(_ENDINGS)
            raise InputError(f"{file}: the ending is none of {endings}: say by --format what it is")
        return form


def read_table(
    file: Path, wanted: Sequence[str], layout: Layout, problems: Problems
) -> Iterator[Rows]:
    """The wanted columns of a file, a few thousand rows at a time.

    Raises:
        InputError: the file cannot be read or lacks a column.
        RecordError: names the line that cannot be read.
    """
    form = layout.form_of(file)
    if form == "parquet":
        return read_parquet(file, wanted)
    return read_delimited(file, wanted, problems, form=form, header=layout.header)
