"""What a training run says while it goes: the documented metric lines, and how far an epoch is."""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from o2v_jax.util import discard

_log = logging.getLogger("o2v_jax")

HOST = "algo-1"  # as SageMaker names the first host
SHOW_EVERY = 0.2  # seconds between two changes of the bar on a terminal
LOG_EVERY = 30.0  # seconds between two lines within an epoch where there is no terminal


def quality_line(
    channel: str, name: str, value: float, epoch: int | None = None, host: str = HOST
) -> str:
    """A metric line as tuners read it with their regular expressions.

    >>> quality_line("validation", "accuracy", 0.87, epoch=0)
    '#quality_metric: host=algo-1, epoch=0, validation accuracy <score>=0.87'
    >>> quality_line("test", "cross_entropy", 0.3)
    '#quality_metric: host=algo-1, test cross_entropy <loss>=0.3'
    """
    when = "" if epoch is None else f" epoch={epoch},"
    kind = "score" if name == "accuracy" else "loss"
    return f"#quality_metric: host={host},{when} {channel} {name} <{kind}>={value}"


def _standard_output() -> TextIO:
    """Standard output, or where it is closed a place that takes everything."""
    return sys.stdout or Path(os.devnull).open("w")


@dataclass
class Reporter:
    """Writes lines that name `host` to `stream`, and on a terminal a progress bar below them.

    Where `stream` is no terminal, a long epoch gets a line at most every `log_every` seconds.
    """

    host: str = HOST
    stream: TextIO = field(default_factory=_standard_output)
    log_every: float = LOG_EVERY

    def __post_init__(self) -> None:
        self.console = Console(file=self.stream, highlight=False, soft_wrap=True)

    def line(self, text: str) -> None:
        """One line, at once; a reader that has gone, or a full disk, ends no training."""
        try:
            print(text, file=self.stream, flush=True)
        except (OSError, ValueError):
            self._lose_stream()

    def _lose_stream(self) -> None:
        _log.warning("standard output cannot be written any more: training goes on without it")
        # what the stream still holds would fail again when the process ends
        if not discard(self.stream):
            self.stream = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
            self.console = Console(file=self.stream)

    def metrics(self, channel: str, metrics: Mapping[str, float], epoch: int | None = None) -> None:
        """A line for each metric of a channel."""
        for name, value in metrics.items():
            self.line(quality_line(channel, name, value, epoch, self.host))

    def progress(self, percent: float) -> None:
        """How far a run is, as the original says it."""
        self.line(f"#progress_metric: host={self.host}, completed {percent:.1f} % of epochs")

    def throughput(self, rate: float) -> None:
        """Training speed in records a second, as the original says it."""
        what = f"train throughput={rate:.2f} records/second"
        self.line(f"#throughput_metric: host={self.host}, {what}")

    def bar(self, title: str, total: int, *, done: int = 0) -> "Bar":
        """Progress through `total` records, of which `done` were done before, by another process.

        >>> with Reporter(log_every=0).bar("epoch 3", 2000) as bar:
        ...     bar.advance(900, lambda: 0.43212, rate=10)
        epoch 3: 45.0 % of 2,000 records, loss 0.4321, 10 records/s, 0:01:50 left
        """
        return Bar(title, total, done, self.console, self.log_every, self.line)


def silent() -> Reporter:
    """A reporter that nobody hears."""
    return Reporter(stream=Path(os.devnull).open("w"))


class Bar:
    """How far an epoch is: the records done, the loss, records a second, the time left.

    A step's loss is on the device until the step is through, and the device would stand idle if
    every step were waited for. So `advance` only counts, and asks for the loss when it is time to
    show it: at most five times a second on a terminal, every `log_every` seconds in a log.
    """

    def __init__(
        self,
        title: str,
        total: int,
        done: int,
        console: Console,
        log_every: float,
        say: Callable[[str], None],
    ) -> None:
        self._title, self._total, self._done = title, total, done
        self._say, self._live = say, console.is_terminal
        self._every = SHOW_EVERY if self._live else log_every
        self._due = time.monotonic() + (0.0 if self._live else log_every)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
        )
        # refreshed by _show alone: a thread that does it would take turns with the training's own
        self._progress = Progress(
            *columns, console=console, auto_refresh=False, transient=True, disable=not self._live
        )
        self._task = self._progress.add_task(title, total=total, completed=done, state="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, records: int, loss: Callable[[], float], rate: float) -> None:
        """Moves on by `records`, at `rate` records a second; `loss` may wait for the device."""
        self._done += records
        if time.monotonic() >= self._due:
            self._show(f"loss {loss():.4f}, {rate:,.0f} records/s, {self._left(rate)} left")
            self._due = time.monotonic() + self._every

    def _show(self, state: str) -> None:
        if self._live:
            self._progress.update(self._task, completed=self._done, state=state, refresh=True)
            return
        share = 100 * self._done / self._total
        where = f"{self._title}: {share:.1f} % of {self._total:,} records"
        self._say(f"{where}, {state}")

    def _left(self, rate: float) -> str:
        """The time that the rest takes at this rate, to the second."""
        if not rate > 0:
            return "-:--:--"
        return str(timedelta(seconds=round(max(0, self._total - self._done) / rate)))
