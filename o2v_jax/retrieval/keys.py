"""The keys of an index: texts or int64, in Arrow, and where in the index each of them is."""

import re
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from o2v_jax.arguments import describe
from o2v_jax.array_types import Index
from o2v_jax.data.arrow import is_text_type
from o2v_jax.data.raw_values import list_values
from o2v_jax.errors import InputError
from o2v_jax.util import is_unicode

Key: TypeAlias = str | int
KeyType: TypeAlias = Literal["text", "int64"]
_INTEGER = re.compile(r"-?[0-9]{1,19}")  # as many digits as an int64 may have
_INT64 = -(2**63), 2**63 - 1
KEY_TYPES: dict[KeyType, pa.DataType] = {"text": pa.string(), "int64": pa.int64()}


class Keys:
    """The key of each vector, by its position, and the position of each key.

    Args:
        column: texts or int64, without nulls, each of them once; perhaps memory-mapped.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._chunks = column.chunks
        ends = np.cumsum([len(chunk) for chunk in self._chunks], dtype=np.int64)
        self._ends = ends
        self._starts = [0, *ends.tolist()]
        self._hashes: tuple[Index, Index] | None = None
        self._lock = Lock()
        self.is_text = is_text_type(column.type)

    def take(self, positions: Index) -> list[Key]:
        """The keys at these positions."""
        numbers = np.searchsorted(self._ends, positions, side="right").tolist()
        return [
            self._chunks[number][position - self._starts[number]].as_py()
            for number, position in zip(numbers, positions.tolist(), strict=True)
        ]

    def find(self, keys: Sequence[Any]) -> Index:
        """The positions of keys, int64.

        The first call makes a table of 16 bytes a key, which takes a moment in a large index.

        Raises:
            InputError: there is no such key, or it is neither a text nor an integer.
        """
        wanted = [self._convert(key) for key in keys]
        hashes, order = self._get_hashes()
        looked_up = np.array([self._hash(key) for key in wanted], np.int64)
        first = np.searchsorted(hashes, looked_up)
        likely = order[np.minimum(first, len(order) - 1)]
        pairs = zip(wanted, self.take(likely), likely.tolist(), strict=True)
        return np.array(
            [at if key == other else self._find_one(key) for key, other, at in pairs], np.int64
        )

    def _convert(self, key: Any) -> Key:
        """A key as the index has it: tables make texts of numbers, and commands of all."""
        if isinstance(key, bool | np.bool_) or not isinstance(key, str | int | np.integer):
            raise InputError(f"a key to exclude must be a text or an integer, got {describe(key)}")
        if self.is_text:
            return str(key)
        return int(key) if not isinstance(key, str) or _INTEGER.fullmatch(key) else key

    def _find_one(self, key: Key) -> int:
        """The position of a key, which may share its hash with others."""
        hashes, order = self._get_hashes()
        sides: tuple[Literal["left", "right"], ...] = ("left", "right")
        start, stop = (np.searchsorted(hashes, self._hash(key), side) for side in sides)
        for position in order[start:stop].tolist():
            if self.take(np.array([position])) == [key]:
                return int(position)
        raise InputError(f"the index has no key {describe(key)}")

    def _get_hashes(self) -> tuple[Index, Index]:
        with self._lock:
            if self._hashes is None:
                hashes = np.concatenate([np.zeros(0, np.int64), *map(hash_keys, self._chunks)])
                order = np.argsort(hashes, kind="stable")
                self._hashes = hashes[order], order
            return self._hashes

    def _hash(self, key: Key) -> int:
        """As `hash_keys`; of what no key can be, that of others."""
        return hash(key) if isinstance(key, str) else min(max(key, _INT64[0]), _INT64[1])


def hash_keys(keys: "pa.Array[Any]") -> Index:
    """Int64 `[keys]` that are equal for equal keys, within a process; an integer is itself."""
    if not is_text_type(keys.type):
        numbers: Index = keys.to_numpy().astype(np.int64)
        return numbers
    return np.fromiter(map(hash, keys.to_pylist()), np.int64, len(keys))


def find_repeated(hashes: Index) -> Iterator[Index]:
    """Groups of positions, each ascending, whose hashes are equal, so that keys may be too."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    for value in np.unique(ordered[1:][ordered[1:] == ordered[:-1]]):
        yield order[slice(*(np.searchsorted(ordered, value, side) for side in ("left", "right")))]


def read_keys(given: Any) -> "pa.Array[Any]":
    """Keys that a caller holds: a list, an array or a column of texts or of integers.

    Raises:
        InputError: they are something else, one is missing or empty, or one stands there twice;
            says which.
    """
    values = given if isinstance(given, list | tuple) else _list_given(given)
    first = _classify(values[0]) if values else "integer"
    for at, key in enumerate(values):
        if first == "other" or _classify(key) != first:
            wanted = "keys must all be texts, or all integers"
            raise InputError(f"keys[{at}]={describe(key)}: {wanted}")
    _check_each(values)
    return pa.array(values, pa.int64() if first == "integer" else pa.string())


def _list_given(given: Any) -> list[Any]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(f"keys={describe(given)} must be a list or a column of keys")
    return list_values(given)


def _classify(key: Any) -> str:
    if isinstance(key, str):
        return "text"
    is_integer = isinstance(key, int | np.integer) and not isinstance(key, bool)
    return "integer" if is_integer and -(2**63) <= key < 2**63 else "other"


def _check_each(keys: Sequence[Any]) -> None:
    seen: dict[Any, int] = {}
    for at, key in enumerate(keys):
        if isinstance(key, str) and not (key.strip() and is_unicode(key)):
            raise InputError(
                f"keys[{at}] is {describe(key)}: a key must not be blank, and be valid Unicode"
            )
        if seen.setdefault(key, at) != at:
            raise InputError(f"keys[{at}] is {describe(key)}, as is keys[{seen[key]}]")
