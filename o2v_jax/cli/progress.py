"""Progress on a terminal, silence in a pipe."""

import logging
import sys
import time
from datetime import timedelta
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

_log = logging.getLogger("o2v_jax")

LOG_EVERY = 30.0  # seconds between two lines where there is no terminal


class Counter:
    """Records done so far and their rate, on standard error where that is a terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.completed:,.0f} records, {task.fields[rate]:,.0f} records/s"),
            TimeElapsedColumn(),
        )
        # results on the same terminal would be torn apart by a moving line
        disable = not console.is_terminal or sys.stdout.isatty()
        self._progress = Progress(*columns, console=console, transient=True, disable=disable)
        self._task = self._progress.add_task("", total=None, rate=0.0)
        self._began, self._records = time.perf_counter(), 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, records: int) -> None:
        """More records are done."""
        self._records += records
        rate = self._records / (time.perf_counter() - self._began)
        self._progress.update(self._task, completed=self._records, rate=rate)


class Bytes:
    """How much of `total` bytes of input is done, on standard error: a bar, or now and then a line.

    What an interrupted run did counts as done, and for nothing in rates.
    """

    def __init__(self, total: int, *, log_every: float = LOG_EVERY) -> None:
        console = Console(stderr=True)
        columns = (BarColumn(), DownloadColumn(), TextColumn("{task.fields[state]}"))
        self._live = console.is_terminal
        self._progress = Progress(*columns, console=console, transient=True, disable=not self._live)
        self._task = self._progress.add_task("", total=total, state="")
        self._total, self._every = total, log_every
        self._records = self._read = self._before = 0
        self._began = self._said = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def rate(self) -> float:
        """Records a second."""
        return self._records / max(1e-9, time.monotonic() - self._began)

    def advance(self, records: int, read: int) -> None:
        """More records are done, and more bytes; without records before, these are of old."""
        self._records += records
        self._read += read
        if not self._records:
            self._before, self._began = self._read, time.monotonic()
        state = f"{self._records:,} records, {self.rate:,.0f} records/s, {self._left()} left"
        self._progress.update(self._task, completed=self._read, state=state)
        if not self._live and time.monotonic() - self._said >= self._every:
            self._said = time.monotonic()
            share = 100 * self._read / max(1, self._total)
            _log.info("%.1f %% of %s bytes, %s", share, f"{self._total:,}", state)

    def _left(self) -> str:
        """The time that the rest takes at this rate, to the second."""
        done = self._read - self._before
        if done <= 0:
            return "-:--:--"
        seconds = (time.monotonic() - self._began) * (self._total - self._read) / done
        return str(timedelta(seconds=round(max(0, seconds))))
