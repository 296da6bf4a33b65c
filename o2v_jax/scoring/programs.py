"""A table of compiled programs: each is compiled once, ahead of time, under its key."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from o2v_jax.errors import InputError

ProgramKey: TypeAlias = tuple[str, int, int]
Program: TypeAlias = Callable[..., Any]
EncodingTable: TypeAlias = Float[Array, "rows enc_dim"]
RowNumber: TypeAlias = Int[Array, ""]


class ProgramTable:
    """Compiled programs by (part, batch, length).

    `compile_one` makes the program of a key. Only keys named in `keys` may be asked for, so that a
    shape outside the table is an error and not a silent compilation. Threads may ask at once: each
    program is compiled by the first and awaited by the others. `waits` counts how often a
    program was asked for that was not compiled yet.
    """

    def __init__(
        self, keys: Iterable[ProgramKey], compile_one: Callable[[ProgramKey], Program]
    ) -> None:
        self._keys = frozenset(keys)
        self._compile_one = compile_one
        self._programs: dict[ProgramKey, Future[Program]] = {}
        self._lock = threading.Lock()
        self.waits = 0

    def __getitem__(self, key: ProgramKey) -> Program:
        future = self._programs.get(key)
        if future is not None and future.done():
            return future.result()
        program = self._get_or_compile(key)
        with self._lock:
            self.waits += 1
        return program

    @property
    def compiled(self) -> int:
        """How many programs have been compiled, or taken from the persistent cache."""
        return sum(future.done() for future in list(self._programs.values()))

    def warm(self, keys: Iterable[ProgramKey], threads: int = 2) -> None:
        """Compiles the programs of `keys` in this order; XLA compiles outside Python's lock."""
        with ThreadPoolExecutor(threads, "o2v-compile") as pool:
            list(pool.map(self._get_or_compile, keys))

    def _get_or_compile(self, key: ProgramKey) -> Program:
        if key not in self._keys:
            raise InputError(f"no program of shape {key} is in the table of this model")
        with self._lock:
            mine = key not in self._programs
            future = self._programs.setdefault(key, Future())
        if mine:
            self._fill(key, future)
        return future.result()

    def _fill(self, key: ProgramKey, future: "Future[Program]") -> None:
        try:
            future.set_result(self._compile_one(key))
        except BaseException as error:  # noqa: BLE001 - every waiting thread raises it
            with self._lock:
                del self._programs[key]
            future.set_exception(error)


def write_into_table(
    encode: Callable[..., Any],
) -> Callable[..., tuple[EncodingTable, RowNumber]]:
    """Makes a function (table, first row, *arguments) that writes encodings from that row on.

    The encodings are `encode(*arguments)`. It returns the table and the row after. The caller
    ensures that the table has enough rows: otherwise its last ones would be overwritten.
    """

    def encode_into(
        table: EncodingTable, first: RowNumber, *arguments: Any
    ) -> tuple[EncodingTable, RowNumber]:
        encodings = encode(*arguments)
        written = jax.lax.dynamic_update_slice_in_dim(table, encodings, first, axis=0)
        return written, first + len(encodings)

    return encode_into


def compare_in_tables(head: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function (parameters, tables, rows) of `head` and the rows named for either side."""

    def compare(params: Any, tables: Sequence[EncodingTable], rows: Int[Array, "2 batch"]) -> Any:
        return head(params, take_from_tables(tables, rows[0]), take_from_tables(tables, rows[1]))

    return compare


def take_from_tables(
    tables: Sequence[EncodingTable], rows: Int[Array, "batch"]
) -> Float[Array, "batch enc_dim"]:
    """The encodings in these rows, which are counted through tables of equal size."""
    capacity, found = len(tables[0]), _take_if_there(tables[0], rows)
    for number, table in enumerate(tables[1:], start=1):
        here = (rows >= number * capacity)[:, None]
        found = jnp.where(here, _take_if_there(table, rows - number * capacity), found)
    return found


def _take_if_there(
    table: EncodingTable, rows: Int[Array, "batch"]
) -> Float[Array, "batch enc_dim"]:
    """Rows of a table; any row where it has none of this number."""
    found: Array = table.at[rows].get(mode="clip")
    return found
