"""The tables that a call of `o2v_jax.train` names, one for each part of the data."""

from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

import pyarrow as pa

from o2v_jax.arguments import describe
from o2v_jax.errors import InputError
from o2v_jax.preparation import Split, SplitName, join_columns, select_columns


class GivenColumns(NamedTuple):
    """Names of columns of a table, or without a table the columns themselves."""

    in0: Any
    in1: Any
    label: Any
    negatives: tuple[Any, ...]

    @property
    def labelled_pair(self) -> tuple[Any, ...]:
        """All but the hard negatives; without the label if there is none."""
        return (self.in0, self.in1) + (() if self.label is None else (self.label,))


def list_negatives(table: Any, given: Any) -> tuple[Any, ...]:
    """The columns of hard negatives: of a table a name or several, otherwise columns in a list.

    Raises:
        InputError: there is no table, and this is not a list; or its lists may be rows or columns.
    """
    if isinstance(given, list | tuple):
        if table is None and _is_square(given):
            raise InputError(
                f"negatives: {len(given)} lists of {len(given)} may be columns or rows: give one "
                "column of rows as [rows], or columns as arrays, series or in a table"
            )
        return tuple(given)
    if table is None:
        raise InputError(f"negatives={describe(given)} must be columns in a list")
    return (given,)


def _is_square(given: Sequence[Any]) -> bool:
    """Whether these are lists, each as long as there are lists, of more than one."""
    are_lists = all(isinstance(each, list | tuple) for each in given)
    return len(given) > 1 and are_lists and {len(each) for each in given} == {len(given)}


def name_negatives(table: Any, negatives: Sequence[Any]) -> tuple[str, ...]:
    """What the columns of hard negatives are called."""
    if table is None:
        return tuple(f"negatives[{at}]" for at in range(len(negatives)))
    return tuple(map(str, negatives))


def read_parts(
    table: Any, columns: GivenColumns, validation: Any, test: Any, seed: int
) -> tuple[dict[SplitName, pa.Table], Split]:
    """The tables by part, and the shares of the first that go to the others.

    Those of validation and test need no hard negatives, which are for training alone.
    """
    names = name_negatives(table, columns.negatives)
    tables: dict[SplitName, pa.Table] = {"train": _read_train(table, columns, names)}
    shares = {"validation": 0.0, "test": 0.0}
    parts: tuple[tuple[SplitName, Any], ...] = (("validation", validation), ("test", test))
    for part, given in parts:
        is_share = isinstance(given, Real) and not isinstance(given, bool)
        if is_share:
            shares[part] = float(given)
        elif given is not None:
            wanted = columns.labelled_pair
            if table is not None:
                found = select_columns(given, wanted, part)
            else:
                found = join_columns(_name_columns(part, given, len(wanted)), part)
            tables[part] = _add_empty_columns(found, names)
    return tables, Split(shares["validation"], shares["test"], seed)


def _read_train(table: Any, columns: GivenColumns, names: Sequence[str]) -> pa.Table:
    if table is not None:
        return select_columns(table, (*columns.labelled_pair, *columns.negatives), "table")
    named = _name_columns("table", columns.labelled_pair, len(columns.labelled_pair))
    return join_columns(named | dict(zip(names, columns.negatives, strict=True)), "table")


def _name_columns(part: str, given: Any, number: int) -> dict[str, Any]:
    names = ("in0", "in1", "label")[:number]
    if not isinstance(given, tuple) or len(given) != number:
        expected = f"a share, or a tuple ({', '.join(names)})"
        raise InputError(f"{part}={describe(given)} must be {expected}, as no table is given")
    return dict(zip(names, given, strict=True))


def _add_empty_columns(table: pa.Table, names: Sequence[str]) -> pa.Table:
    for name in names:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    return table
