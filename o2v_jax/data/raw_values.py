"""Raw values that a caller holds, such as a list or a column of texts, as token ids."""

from typing import Any

from o2v_jax.data.ragged import Ragged
from o2v_jax.data.spelling import spell_scalar
from o2v_jax.data.tokenizers import NO_VOCABULARY, SIDES, Tokenizers
from o2v_jax.errors import InputError, RecordError

_LISTS = ("to_pylist", "to_list", "tolist")  # of Arrow; of polars and pandas; of NumPy


def encode_raw_values(rows: Any, side: int, tokenizers: Tokenizers | None) -> Any:
    """Texts, lists of tokens, or single values, as a `Ragged`; anything else as it is.

    Args:
        rows: a list, an array or a column (Arrow, polars, pandas).
        side: 0 or 1.
        tokenizers: of the model.

    Raises:
        InputError: they are texts, and there are no tokenizers.
        RecordError: a tokenizer refuses one; says which.
    """
    takes_values = tokenizers is not None and tokenizers[side].kind == "value"
    if not (_are_raw(rows) or (takes_values and _are_scalars(rows))):
        return rows
    if tokenizers is None:
        raise InputError(f"{SIDES[side]}: {NO_VOCABULARY}")
    return Ragged.of(_encode_rows(list_values(rows), side, tokenizers))


def list_values(rows: Any) -> list[Any]:
    """A column (Arrow, polars, pandas) or an array as Python's own objects."""
    name = next((name for name in _LISTS if hasattr(rows, name)), None)
    return list(rows if name is None else getattr(rows, name)())


def _are_raw(rows: Any) -> bool:
    """Whether the first value that is not empty is a text, or holds texts."""
    for row in rows if isinstance(rows, list | tuple) else _take_first(rows):
        if isinstance(row, str):
            return True
        if isinstance(row, list | tuple) and len(row):
            return isinstance(row[0], str)
    return False


def _are_scalars(rows: Any) -> bool:
    """Whether these are single numbers or truth values, as a column of users' numbers is."""
    if isinstance(rows, Ragged) or getattr(rows, "ndim", 1) != 1:
        return False
    is_column = any(hasattr(rows, name) for name in _LISTS)
    if not (is_column or isinstance(rows, list | tuple)):
        return False
    first = list_values(rows[:1])
    return bool(first) and spell_scalar(first[0]) is not None


def _take_first(rows: Any) -> list[Any]:
    """The first value of a column or of an array of objects; nothing of what is neither."""
    is_column = any(hasattr(rows, name) for name in _LISTS) and getattr(rows, "ndim", 1) == 1
    is_object = getattr(getattr(rows, "dtype", None), "kind", "O") in "OUT"
    return list_values(rows[:1]) if is_column and is_object else []


def _encode_rows(values: list[Any], side: int, tokenizers: Tokenizers) -> list[list[int]]:
    rows: list[list[int]] = []
    try:
        rows.extend(tokenizers[side].encode_each(values))
    except InputError as error:
        raise RecordError(f"record {len(rows)}: {SIDES[side]}", str(error)) from error
    return rows
