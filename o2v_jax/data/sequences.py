"""Sequences of numbers, however a caller holds them, as one flat array and their lengths.

Lists, NumPy, JAX and torch arrays, pandas, polars and Arrow columns: each is recognized by the
protocol that it offers (`__array__`, DLPack, the Arrow C interface), not by importing its library.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from o2v_jax.arguments import describe
from o2v_jax.array_types import Index
from o2v_jax.errors import InputError
from o2v_jax.extras import require_extra
from o2v_jax.util import get_first_line

_PLAIN = {list, tuple}
_ARROW = ("__arrow_c_stream__", "__arrow_c_array__")
_NOT_ROWS = (str, bytes, bytearray, Mapping, AbstractSet)  # of other things


class FlatSequences(NamedTuple):
    """The numbers `[total]` of all sequences, one after the other, and each one's length."""

    values: npt.NDArray[Any]
    lengths: Index

    @property
    def is_float(self) -> bool:
        """Whether these are floating-point numbers, the small types of ml_dtypes included."""
        dtype = self.values.dtype
        return dtype.kind == "f" or "float" in dtype.name


def flat(rows: Any) -> FlatSequences:
    """Sequences of numbers as one flat array.

    Args:
        rows: a list or other iterable of sequences (lists, arrays), a two-dimensional array, or a
            column of lists (Arrow, polars, pandas).

    Raises:
        InputError: it is something else.
    """
    if isinstance(rows, list | tuple):
        return _flatten_rows(rows)
    if isinstance(rows, _NOT_ROWS):
        raise _make_error(describe(rows))
    if _is_arrow(rows) and getattr(rows, "ndim", 1) == 1:
        return _flatten_arrow(rows)
    return _flatten_array(to_array(rows)) if _is_array(rows) else _flatten_rows(_list_rows(rows))


def to_array(given: Any) -> npt.NDArray[Any]:
    """Any library's array, or a list of numbers, as a NumPy array.

    Raises:
        InputError: it cannot be one, or it has masked or missing values.
    """
    if isinstance(given, np.ma.MaskedArray):
        raise InputError("a masked array has gaps: fill them with padding (0) first")
    _require_present(given)
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        array = _import_dlpack(given, error)
    if array.dtype == object and array.ndim == 1 and _is_array(given):
        return _convert_objects(array)
    return array


def _is_arrow(given: Any) -> bool:
    return any(hasattr(given, name) for name in _ARROW)


def _is_array(given: Any) -> bool:
    return hasattr(given, "__array__") or hasattr(given, "__dlpack__")


def _require_present(given: Any) -> None:
    """Refuses missing values among pandas' integers, which NumPy would read as NaN."""
    kind = getattr(getattr(given, "dtype", None), "kind", None)
    if kind in ("i", "u") and hasattr(given, "isna") and given.isna().any():
        raise InputError("a sequence has missing values (NA): leave them out")


def _import_dlpack(given: Any, error: Exception) -> npt.NDArray[Any]:
    """An array of a type that NumPy does not know, such as a torch tensor in bfloat16."""
    if hasattr(given, "__dlpack__"):
        from jax.dlpack import from_dlpack  # noqa: PLC0415 - rarely needed, and slow to import

        try:
            return np.asarray(from_dlpack(given))
        except Exception:  # noqa: BLE001 - the first reason is the one that helps
            raise _make_error(get_first_line(error)) from error
    raise _make_error(get_first_line(error)) from error


def _convert_objects(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Python's numbers, as pandas' extension arrays give them; else the objects as they are."""
    try:
        numbers = np.array(array.tolist())
    except ValueError:  # lists of different lengths
        return array
    return numbers if numbers.ndim == 1 and numbers.dtype.kind in "iuf" else array


def _flatten_array(array: npt.NDArray[Any]) -> FlatSequences:
    if array.ndim == 2:  # noqa: PLR2004 - sequences and their numbers
        return FlatSequences(array.reshape(-1), np.full(len(array), array.shape[1], np.int64))
    if array.ndim == 1 and array.dtype == object:  # pandas' column of lists
        return _flatten_rows(array.tolist())
    if array.ndim == 1 and not len(array):
        return FlatSequences(array, np.zeros(0, np.int64))
    raise _make_error(f"an array of {array.ndim} dimensions, {array.shape}")


def _flatten_rows(rows: Sequence[Any]) -> FlatSequences:
    kinds = set(map(type, rows))
    if kinds <= _PLAIN:
        values = _convert_numbers(list(chain.from_iterable(rows)))
    else:
        rows = [_convert_row(row) for row in rows]
        values = _join_rows([row for row in rows if len(row)])
    return FlatSequences(values, np.fromiter(map(len, rows), np.int64, len(rows)))


def _join_rows(rows: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    if not rows:
        return _NONE
    try:
        joined = np.concatenate(rows)
    except TypeError as error:  # of types that have nothing in common
        raise _make_error(get_first_line(error)) from error
    if joined.dtype.kind == "f" and all(row.dtype.kind in "iu" for row in rows):
        return _convert_integers(chain.from_iterable(row.tolist() for row in rows))
    return joined


def _convert_row(row: Any) -> npt.NDArray[Any]:
    """One sequence as an array."""
    if hasattr(row, "as_py"):  # Arrow's scalars
        row = row.as_py()
    if isinstance(row, _NOT_ROWS) or not (_is_array(row) or isinstance(row, Sequence)):
        raise _make_error(f"{describe(row)} as one of the sequences")
    array = to_array(row) if _is_array(row) else _convert_numbers(list(row))
    if array.ndim != 1:
        raise _make_error(f"an array of {array.ndim} dimensions as one of the sequences")
    return array


def _convert_numbers(values: list[Any]) -> npt.NDArray[Any]:
    if not values:
        return _NONE
    try:
        array = np.array(values)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise _make_error(get_first_line(error)) from error
    if array.ndim != 1:
        raise _make_error("lists within the sequences (three dimensions)")
    if array.dtype.kind == "f" and all(isinstance(value, Integral) for value in values):
        return _convert_integers(values)
    return array


def _convert_integers(values: Iterable[Any]) -> npt.NDArray[np.int64]:
    """Integers of several types, which NumPy would make floats; clipped to the bounds of int64."""
    low, high = -(2**63), 2**63 - 1
    return np.array([min(max(int(value), low), high) for value in values], np.int64)


def _list_rows(rows: Any) -> list[Any]:
    if not isinstance(rows, Iterable):
        raise _make_error(describe(rows))
    try:
        return list(rows)
    except TypeError as error:
        raise _make_error(get_first_line(error)) from error


def _flatten_arrow(given: Any) -> FlatSequences:
    """A column of lists, of any of Arrow's list types."""
    require_extra("data", "a column of Arrow data", "pyarrow")
    import pyarrow as pa  # noqa: PLC0415 - only where there is Arrow data
    import pyarrow.compute as pc  # noqa: PLC0415

    from o2v_jax.data.arrow import is_list_type  # noqa: PLC0415 - imports pyarrow

    column = _import_arrow(given)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_null(column.type) and not len(column)) and not is_list_type(column.type):
        raise _make_error(f"an Arrow column of type {column.type}")
    if column.null_count:
        raise InputError(f"the Arrow column has {column.null_count} nulls for sequences")
    if not len(column):
        return FlatSequences(_NONE, np.zeros(0, np.int64))
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False).astype(np.int64)
    values = pc.list_flatten(column)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if values.null_count:
        raise InputError(f"the Arrow column has {values.null_count} nulls in its sequences")
    if pa.types.is_nested(values.type):
        raise _make_error(f"an Arrow column of type {column.type}")
    return FlatSequences(values.to_numpy(zero_copy_only=False) if len(values) else _NONE, lengths)


def _import_arrow(given: Any) -> Any:
    """A pyarrow array of what offers the Arrow C interface."""
    import pyarrow as pa  # noqa: PLC0415

    try:
        if isinstance(given, pa.Array):
            return given
        column = given if isinstance(given, pa.ChunkedArray) else _import_interface(pa, given)
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise _make_error(get_first_line(error)) from error


def _import_interface(pa: Any, given: Any) -> Any:
    return pa.chunked_array(given) if hasattr(given, _ARROW[0]) else pa.array(given)


def _make_error(found: str) -> InputError:
    return InputError(f"expected a sequence of sequences of token ids (integers), but got {found}")


_NONE = np.zeros(0, np.int32)
