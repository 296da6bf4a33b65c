"""Rows of a table, the wanted columns alone, and how a column is named."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from o2v_jax.array_types import Index
from o2v_jax.errors import InputError

ROWS_PER_CHUNK = 4096
_SHOWN = 20

# strings, or lists of numbers or of strings
Cells: TypeAlias = "pa.Array[Any]"


class NoRowsError(InputError):
    """A file holds no rows, as one part of a table may."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a table.

    Attributes:
        places: a template of where a row was, such as "pairs.csv:{}".
        numbers: int64 `[rows]`, what fills the template: a line, or a row counted from 1.
        columns: the cells of each wanted column.
    """

    places: str
    numbers: Index
    columns: tuple[Cells, ...]

    def __len__(self) -> int:
        return len(self.numbers)


def make_place_template(file: Path, counted: str) -> str:
    """The template of places in a file; its name may hold braces."""
    name = str(file).replace("{", "{{").replace("}", "}}")
    return f"{name}{counted}{{}}"


def find_positions(
    file: Path | str, names: Sequence[str], wanted: Sequence[str], *, header: bool
) -> list[int]:
    """The positions of the wanted columns: by name, or by number from 0 if no column has that name.

    Args:
        file: for messages: a file, or what else a table is called.
        names: the table's columns; without a header, anything of as many items.
        wanted: names or numbers.
        header: whether the columns have names.

    Raises:
        InputError: a column is missing, or its name is there twice.
    """
    return [_find_position(file, list(names), column, header) for column in wanted]


def _find_position(file: Path | str, names: list[str], column: str, header: bool) -> int:
    found = names.count(column) if header else 0
    if found > 1:
        raise InputError(f"{file}: {found} columns are named {column!r}: give its number, from 0")
    if found:
        return names.index(column)
    if column in map(str, range(len(names))):
        return int(column)
    missing = f"{file}: there is no column {column!r}"
    if not header:
        raise InputError(f"{missing}; without a header, columns are numbered 0..{len(names) - 1}")
    raise InputError(f"{missing}; {describe_columns(names)}, or numbers 0..{len(names) - 1}")


def describe_columns(names: Sequence[str]) -> str:
    """The first columns of a table, for a message."""
    more = [] if len(names) <= _SHOWN else [f"and {len(names) - _SHOWN} more"]
    shown = ", ".join([*(f"{name:.40}" for name in names[:_SHOWN]), *more])
    return f"its columns are {shown}"


def to_index(values: Sequence[int]) -> Index:
    """Integers as int64 `[rows]`."""
    return np.array(values, np.int64)
