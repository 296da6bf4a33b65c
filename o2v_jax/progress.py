"""Progress of long work: a bar on a terminal, now and then a line in a log.

The time left follows from the rate that is shown beside it. rich's own estimate needs two samples
within its period: a file that is read in one part would never have one, and JAX's steps, which
return before they have finished, would seem much faster than they are.
"""

import logging
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

SHOW_EVERY = 0.2  # seconds between two changes of the bar on a terminal
LOG_EVERY = 30.0  # seconds between two lines where there is no terminal

_log = logging.getLogger("o2v_jax")


class ProgressBar:
    """How much of a known total is done.

    Args:
        title: what is done; may be empty.
        total: how much there is, in `unit`.
        console: where the bar goes if it is a terminal.
        say: takes the lines if it is not.
        done: how much an earlier process did.
        unit: what is counted.
        columns: further columns of rich, behind the bar.
        log_every: seconds between two lines.
    """

    def __init__(
        self,
        title: str,
        total: int,
        console: Console,
        say: Callable[[str], None],
        *,
        done: int = 0,
        unit: str = "records",
        columns: tuple[ProgressColumn, ...] = (),
        log_every: float = LOG_EVERY,
    ) -> None:
        self.total = total
        self.done = done
        self._title = title
        self._unit = unit
        self._say = say
        self._live = console.is_terminal
        self._every = SHOW_EVERY if self._live else log_every
        self._due = time.monotonic() + (0.0 if self._live else log_every)
        texts = TextColumn("{task.description}"), TextColumn("{task.fields[state]}")
        # refreshed by _show alone: a thread of its own would compete with the work
        self._progress = Progress(
            *(texts[0], BarColumn(), *columns, texts[1]),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not self._live,
        )
        self._task = self._progress.add_task(title, total=total, completed=done, state="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, amount: int, describe: Callable[[], str]) -> None:
        """Adds to what is done; `describe`, which may be slow, is called when the bar is drawn."""
        self.done += amount
        if time.monotonic() >= self._due:
            self._show(describe())
            self._due = time.monotonic() + self._every

    def _show(self, state: str) -> None:
        if self._live:
            self._progress.update(self._task, completed=self.done, state=state, refresh=True)
            return
        share = 100 * self.done / max(1, self.total)
        title = f"{self._title}: " if self._title else ""
        self._say(f"{title}{share:.1f} % of {self.total:,} {self._unit}, {state}")


class InputProgress:
    """How much of `total` bytes of input is done, on standard error.

    What an interrupted run did counts as done, but not in rates.
    """

    def __init__(self, total: int, *, log_every: float = LOG_EVERY) -> None:
        self._bar = ProgressBar(
            "",
            total,
            Console(stderr=True),
            lambda text: _log.info("%s", text),
            unit="bytes",
            columns=(DownloadColumn(),),
            log_every=log_every,
        )
        self._records = 0
        self._done_before = 0
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

    @property
    def rate(self) -> float:
        """Records a second."""
        return self._records / self._elapsed

    def advance(self, records: int, read: int) -> None:
        """Adds records and bytes; bytes before the first record are of an interrupted run."""
        self._records += records
        self._bar.advance(read, self._describe)
        if not self._records:
            self._done_before = self._bar.done
            self._began = time.monotonic()

    @property
    def _elapsed(self) -> float:
        return max(1e-9, time.monotonic() - self._began)

    def _describe(self) -> str:
        rate = (self._bar.done - self._done_before) / self._elapsed
        left = format_time_left(self._bar.total - self._bar.done, rate)
        return f"{self._records:,} records, {self.rate:,.0f} records/s, {left} left"


class RecordCounter:
    """Records done so far and their rate, on standard error where that is a terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.completed:,.0f} records, {task.fields[rate]:,.0f} records/s"),
            TimeElapsedColumn(),
        )
        # a moving line would break up results that are printed on the same terminal
        disable = not console.is_terminal or sys.stdout.isatty()
        self._progress = Progress(*columns, console=console, transient=True, disable=disable)
        self._task = self._progress.add_task("", total=None, rate=0.0)
        self._began = time.perf_counter()
        self._records = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, records: int) -> None:
        """Adds records."""
        self._records += records
        rate = self._records / (time.perf_counter() - self._began)
        self._progress.update(self._task, completed=self._records, rate=rate)


def format_time_left(amount: float, rate: float) -> str:
    """How long `amount` takes at `rate` a second, to the second; dashes where there is no rate.

    >>> format_time_left(1100, 10), format_time_left(1100, 0)
    ('0:01:50', '-:--:--')
    """
    if not rate > 0:
        return "-:--:--"
    return str(timedelta(seconds=round(max(0, amount) / rate)))
