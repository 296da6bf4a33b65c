"""Sequences of numbers, however a caller holds them, as one flat array and their lengths.

Lists, NumPy, JAX and torch arrays, pandas, polars and Arrow columns: each is asked what it can do
(`__array__`, DLPack, the Arrow C interface), and its library is imported only if it is there.
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
        return _of_rows(rows)
    if isinstance(rows, _NOT_ROWS):
        raise _unexpected(describe(rows))
    if _is_arrow(rows) and getattr(rows, "ndim", 1) == 1:
        return _of_arrow(rows)
    return _of_array(array_of(rows)) if _is_array(rows) else _of_rows(_listed(rows))


def array_of(given: Any) -> npt.NDArray[Any]:
    """What any library's array, or a list of numbers, is in NumPy.

    Raises:
        InputError: it cannot be one, or it has masked or missing values.
    """
    if isinstance(given, np.ma.MaskedArray):
        raise InputError("a masked array is no sequence of numbers: fill it with padding (0) first")
    _require_present(given)
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        array = _of_dlpack(given, error)
    if array.dtype == object and array.ndim == 1 and _is_array(given):
        return _of_objects(array)
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


def _of_dlpack(given: Any, error: Exception) -> npt.NDArray[Any]:
    """Of a torch tensor in bfloat16, say, which NumPy itself does not know."""
    if hasattr(given, "__dlpack__"):
        from jax.dlpack import from_dlpack  # noqa: PLC0415 - rarely needed, and slow to import

        try:
            return np.asarray(from_dlpack(given))
        except Exception:  # noqa: BLE001 - the first reason is the one that helps
            raise _unexpected(_reason(error)) from error
    raise _unexpected(_reason(error)) from error


def _of_objects(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Python's numbers, as pandas' extension arrays give them; else the objects as they are."""
    try:
        numbers = np.array(array.tolist())
    except ValueError:  # lists of different lengths
        return array
    return numbers if numbers.ndim == 1 and numbers.dtype.kind in "iuf" else array


def _of_array(array: npt.NDArray[Any]) -> FlatSequences:
    if array.ndim == 2:  # noqa: PLR2004 - sequences and their numbers
        return FlatSequences(array.reshape(-1), np.full(len(array), array.shape[1], np.int64))
    if array.ndim == 1 and array.dtype == object:  # pandas' column of lists
        return _of_rows(array.tolist())
    if array.ndim == 1 and not len(array):
        return FlatSequences(array, np.zeros(0, np.int64))
    raise _unexpected(f"an array of {array.ndim} dimensions, {array.shape}")


def _of_rows(rows: Sequence[Any]) -> FlatSequences:
    kinds = set(map(type, rows))
    if kinds <= _PLAIN:
        values = _numbers(list(chain.from_iterable(rows)))
    else:
        rows = [_row(row) for row in rows]
        values = _joined([row for row in rows if len(row)])
    return FlatSequences(values, np.fromiter(map(len, rows), np.int64, len(rows)))


def _joined(rows: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    if not rows:
        return _NONE
    try:
        joined = np.concatenate(rows)
    except TypeError as error:  # of types that have nothing in common
        raise _unexpected(_reason(error)) from error
    if joined.dtype.kind == "f" and all(row.dtype.kind in "iu" for row in rows):
        return _integers(chain.from_iterable(row.tolist() for row in rows))
    return joined


def _row(row: Any) -> npt.NDArray[Any]:
    """One sequence as an array."""
    if hasattr(row, "as_py"):  # Arrow's scalars
        row = row.as_py()
    if isinstance(row, _NOT_ROWS) or not (_is_array(row) or isinstance(row, Sequence)):
        raise _unexpected(f"{describe(row)} as one of the sequences")
    array = array_of(row) if _is_array(row) else _numbers(list(row))
    if array.ndim != 1:
        raise _unexpected(f"an array of {array.ndim} dimensions as one of the sequences")
    return array


def _numbers(values: list[Any]) -> npt.NDArray[Any]:
    if not values:
        return _NONE
    try:
        array = np.array(values)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise _unexpected(_reason(error)) from error
    if array.ndim != 1:
        raise _unexpected("lists within the sequences (three dimensions)")
    if array.dtype.kind == "f" and all(isinstance(value, Integral) for value in values):
        return _integers(values)
    return array


def _integers(values: Iterable[Any]) -> npt.NDArray[np.int64]:
    """Integers of several types, of which NumPy makes floats; those beyond int64 as its bounds."""
    low, high = -(2**63), 2**63 - 1
    return np.array([min(max(int(value), low), high) for value in values], np.int64)


def _listed(rows: Any) -> list[Any]:
    if not isinstance(rows, Iterable):
        raise _unexpected(describe(rows))
    try:
        return list(rows)
    except TypeError as error:
        raise _unexpected(_reason(error)) from error


def _of_arrow(given: Any) -> FlatSequences:
    """A column of lists, of any of Arrow's list types."""
    require_extra("data", "a column of Arrow data", "pyarrow")
    import pyarrow as pa  # noqa: PLC0415 - only where there is Arrow data
    import pyarrow.compute as pc  # noqa: PLC0415

    from o2v_jax.data.arrow import is_list_type  # noqa: PLC0415 - imports pyarrow

    column = _arrow(given)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_null(column.type) and not len(column)) and not is_list_type(column.type):
        raise _unexpected(f"an Arrow column of type {column.type}")
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
        raise _unexpected(f"an Arrow column of type {column.type}")
    return FlatSequences(values.to_numpy(zero_copy_only=False) if len(values) else _NONE, lengths)


def _arrow(given: Any) -> Any:
    """A pyarrow array of what offers the Arrow C interface."""
    import pyarrow as pa  # noqa: PLC0415

    try:
        if isinstance(given, pa.Array):
            return given
        column = given if isinstance(given, pa.ChunkedArray) else _imported(pa, given)
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise _unexpected(_reason(error)) from error


def _imported(pa: Any, given: Any) -> Any:
    return pa.chunked_array(given) if hasattr(given, _ARROW[0]) else pa.array(given)


def _unexpected(found: str) -> InputError:
    return InputError(f"expected a sequence of sequences of token ids (integers), but got {found}")


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__


_NONE = np.zeros(0, np.int32)
