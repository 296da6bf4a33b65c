"""Tables and columns in memory: DataFrames of pandas and polars, Arrow, mappings, lists, arrays."""

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, TypeAlias

import narwhals as nw
import numpy as np
import pyarrow as pa

from o2v_jax.arguments import describe
from o2v_jax.data.arrow import is_list_type, is_text_type
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.tokenizers import Kind
from o2v_jax.errors import InputError, RecordError
from o2v_jax.preparation.rows import describe_columns

Column: TypeAlias = "pa.ChunkedArray | pa.Array[Any]"

_TABLES = "a DataFrame (pandas, polars), an Arrow table or a mapping from names to columns"


def select_columns(table: Any, names: Iterable[Any], source: str) -> pa.Table:
    """Columns of a table of any library, as an Arrow table.

    Args:
        table: whatever narwhals reads, lazy frames too, or a mapping from names to columns.
        names: of the columns; any that is not a text is converted to one.
        source: what the table is called in messages.

    Raises:
        InputError: it is not a table, it lacks a column, or a name stands for several columns.
        RecordError: a column holds values of several types; says the first row that differs.
    """
    columns = dict(table) if isinstance(table, Mapping) else _read_frame(table, source)
    known = [str(name) for name in columns]
    found = {}
    for name in names:
        if not isinstance(name, Hashable):
            raise InputError(f"{source}: {describe(name)} must be the name of a column")
        if name not in columns:
            raise InputError(f"{source}: there is no column {name!r}; {describe_columns(known)}")
        if any(str(other) == str(name) and other != name for other in columns):
            raise InputError(f"{source}: several columns are named {str(name)!r}: rename them")
        found[str(name)] = to_arrow(columns[name], f"{source}: column {name!r}", source)
    return _join(found, source)


def join_columns(columns: Mapping[str, Any], source: str) -> pa.Table:
    """Columns that a caller holds as lists, arrays, `Ragged` or series, as an Arrow table.

    Raises:
        InputError: one is not a column, or they differ in length.
        RecordError: one holds values of several types; says the first row that differs.
    """
    return _join({name: to_arrow(each, name, source) for name, each in columns.items()}, source)


def to_arrow(values: Any, name: str, source: str) -> Column:
    """A column of any library in Arrow.

    Args:
        values: a `Ragged`, a series, an Arrow array, a NumPy array, a list, or any sequences that
            `Ragged.of` takes.
        name: of the column, for messages.
        source: what its table is called in messages.

    Raises:
        InputError: it is none of these.
        RecordError: it holds values of several types; says the first row that differs.
    """
    if isinstance(values, pa.ChunkedArray | pa.Array):
        return values
    if isinstance(values, nw.Series):
        return _convert(values, name, source)
    if nw.dependencies.is_into_series(values):
        return _convert(nw.from_native(values, series_only=True), name, source)
    if _is_ragged(values):
        rows = _read_ragged(values, name)
        return pa.LargeListArray.from_arrays(rows.offsets, rows.ids)
    is_plain = isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__")
    if is_plain or getattr(values, "ndim", 1) != 1:
        raise InputError(f"{name}: {describe(values)} is not a column of a table")
    return _convert(values, name, source)


def infer_kind(column: pa.DataType) -> Kind:
    """What a column of this type most likely holds.

    >>> infer_kind(pa.list_(pa.int64())), infer_kind(pa.string()), infer_kind(pa.int64())
    ('ids', 'text', 'value')
    """
    if is_list_type(column):
        item = column.value_type
        item = item.value_type if pa.types.is_dictionary(item) else item
        return "tokens" if is_text_type(item) else "ids"
    return "text" if is_text_type(column) else "value"


def _read_frame(table: Any, source: str) -> dict[Any, Any]:
    try:
        frame = nw.from_native(table)
    except TypeError as error:
        raise InputError(
            f"{source} must be {_describe_tables(source)}, but it is {describe(table)}"
        ) from error
    except nw.exceptions.DuplicateError as error:
        repeated = " ".join(str(error).partition("\n")[2].replace("- ", " ").split())
        raise InputError(f"{source}: several columns are named {repeated}: rename them") from error
    eager = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    return {name: eager.get_column(name) for name in eager.columns}


def _describe_tables(source: str) -> str:
    return _TABLES if source == "table" else f"a share of the table, {_TABLES}"


def _convert(values: Any, name: str, source: str) -> Column:
    try:
        if isinstance(values, nw.Series):
            return values.to_arrow()
        given = values if isinstance(values, np.ndarray) else list(values)
        return pa.array(given, from_pandas=True)  # NaN is what is missing
    except Exception as error:  # each library has errors of its own
        raise _explain(list(values), name, source, error) from error


def _explain(values: list[Any], name: str, source: str, error: Exception) -> Exception:
    """The error for a column that Arrow refuses: names the first row whose type differs, if any."""
    first: Any = None
    for row, value in enumerate(values):
        if _is_missing(value):
            continue
        first = value if first is None else first
        if type(value) is not type(first):
            column = name.removeprefix(f"{source}: ")
            kinds = f"{type(value).__name__}, others are {type(first).__name__}"
            return RecordError(
                f"{source}: row {row}", f"{column}: {describe(value)} is {kinds}: make them alike"
            )
    return InputError(f"{name}: cannot be read ({' '.join(str(error).split())})")


def _is_missing(value: Any) -> bool:
    """Whether this is what libraries write for a value that is missing: None, NaN, NA, NaT."""
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in {"NAType", "NaTType"}


def _is_ragged(values: Any) -> bool:
    """Whether these are sequences of numbers rather than a column of texts or of single values."""
    if isinstance(values, Ragged) or getattr(values, "ndim", 1) == 2:  # noqa: PLR2004 - a matrix
        return True
    if not isinstance(values, list | tuple):
        return False
    rows = (row for row in values if isinstance(row, list | tuple) or hasattr(row, "__array__"))
    first = next((row for row in rows if getattr(row, "ndim", 1) == 1 and len(row)), None)
    return first is not None and not isinstance(first[0], str)


def _read_ragged(values: Any, name: str) -> Ragged:
    try:
        return Ragged.of(values)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _join(columns: Mapping[str, Column], source: str) -> pa.Table:
    lengths = {name: len(column) for name, column in columns.items()}
    if len({*lengths.values()}) > 1:
        shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise InputError(f"{source}: {shown} rows; give as many of each")
    return pa.table(dict(columns))
