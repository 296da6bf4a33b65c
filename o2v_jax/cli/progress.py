"""Progress on a terminal, silence in a pipe."""

import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


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
