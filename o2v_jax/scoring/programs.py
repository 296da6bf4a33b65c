"""A table of compiled programs: each is compiled once, ahead of time, under its key."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

from o2v_jax.errors import InputError

Key: TypeAlias = tuple[str, int, int]
Program: TypeAlias = Callable[..., Any]


class ProgramTable:
    """Compiled programs by (part, batch, length).

    `compile_one` makes the program of a key. Only keys named in `keys` may be asked for, so that a
    shape outside the table is an error and not a silent compilation. Threads may ask at once: each
    program is compiled by the first and awaited by the others. `waits` counts how often a
    program was asked for that was not compiled yet.
    """

    def __init__(self, keys: Iterable[Key], compile_one: Callable[[Key], Program]) -> None:
        self._keys = frozenset(keys)
        self._compile_one = compile_one
        self._programs: dict[Key, Future[Program]] = {}
        self._lock = threading.Lock()
        self.waits = 0

    def __getitem__(self, key: Key) -> Program:
        future = self._programs.get(key)
        if future is not None and future.done():
            return future.result()
        program = self._first_use(key)
        with self._lock:
            self.waits += 1
        return program

    @property
    def compiled(self) -> int:
        """How many programs have been compiled, or taken from the persistent cache."""
        return sum(future.done() for future in list(self._programs.values()))

    def warm(self, keys: Iterable[Key], threads: int = 2) -> None:
        """Compiles the programs of `keys` in this order; XLA compiles outside Python's lock."""
        with ThreadPoolExecutor(threads, "o2v-compile") as pool:
            list(pool.map(self._first_use, keys))

    def _first_use(self, key: Key) -> Program:
        if key not in self._keys:
            raise InputError(f"no program of shape {key} is in the table of this model")
        with self._lock:
            mine = key not in self._programs
            future = self._programs.setdefault(key, Future())
        if mine:
            self._fill(key, future)
        return future.result()

    def _fill(self, key: Key, future: "Future[Program]") -> None:
        try:
            future.set_result(self._compile_one(key))
        except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
            with self._lock:
                del self._programs[key]
            future.set_exception(error)
