"""What a training run prints: the documented metric lines, and the progress of an epoch."""

import io
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TextIO, cast

from rich.console import Console

from o2v_jax.progress import LOG_EVERY, ProgressBar, format_time_left
from o2v_jax.util import discard_output

_log = logging.getLogger("o2v_jax")

HIGHER_IS_BETTER = ("accuracy", "mrr", "hits_at_1", "hits_at_10")  # metrics; others are losses
HOST = "algo-1"  # as SageMaker names the first host


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
    kind = "score" if name in HIGHER_IS_BETTER else "loss"
    return f"#quality_metric: host={host},{when} {channel} {name} <{kind}>={value}"


def _open_standard_output() -> TextIO:
    """Standard output, or where it is closed a place that takes everything."""
    return sys.stdout or Path(os.devnull).open("w")


@dataclass
class Reporter:
    """Writes lines that name `host` to `stream`, and on a terminal a progress bar below them.

    Where `stream` is no terminal, a long epoch gets a line at most every `log_every` seconds.
    """

    host: str = HOST
    stream: TextIO = field(default_factory=_open_standard_output)
    log_every: float = LOG_EVERY

    def __post_init__(self) -> None:
        self.console = Console(file=self.stream, highlight=False, soft_wrap=True)

    def write_line(self, text: str) -> None:
        """One line, at once; a reader that has gone, or a full disk, ends no training."""
        try:
            print(text, file=self.stream, flush=True)
        except (OSError, ValueError):
            self._lose_stream()

    def _lose_stream(self) -> None:
        _log.warning("standard output cannot be written any more: training goes on without it")
        # what the stream still holds would fail again when the process ends
        if not discard_output(self.stream):
            self.stream = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
            self.console = Console(file=self.stream)

    def write_metrics(
        self, channel: str, metrics: Mapping[str, float], epoch: int | None = None
    ) -> None:
        """A line for each metric of a channel."""
        for name, value in metrics.items():
            self.write_line(quality_line(channel, name, value, epoch, self.host))

    def write_progress(self, percent: float) -> None:
        """How far a run is, as the original says it."""
        self.write_line(f"#progress_metric: host={self.host}, completed {percent:.1f} % of epochs")

    def write_throughput(self, rate: float) -> None:
        """Training speed in records a second, as the original says it."""
        what = f"train throughput={rate:.2f} records/second"
        self.write_line(f"#throughput_metric: host={self.host}, {what}")

    def open_bar(self, title: str, total: int, *, done: int = 0) -> "EpochProgress":
        """Progress through `total` records, of which `done` were done before, by another process.

        >>> with Reporter(log_every=0).open_bar("epoch 3", 2000) as bar:
        ...     bar.advance(900, lambda: 0.43212, rate=10)
        epoch 3: 45.0 % of 2,000 records, loss 0.4321, 10 records/s, 0:01:50 left
        """
        bar = ProgressBar(
            title, total, self.console, self.write_line, done=done, log_every=self.log_every
        )
        return EpochProgress(bar)


class _Discard(io.TextIOBase):
    """A stream that takes everything and keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)


def make_silent_reporter() -> Reporter:
    """A reporter that writes nothing."""
    return Reporter(stream=cast("TextIO", _Discard()))


class EpochProgress:
    """How far an epoch is: the records done, the loss, records a second, the time left.

    A step's loss is on the device until the step is through, and the device would be idle if every
    step were waited for. So `advance` only counts, and asks for the loss when it is time to show
    it: at most five times a second on a terminal, every `log_every` seconds in a log.
    """

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

    def advance(self, records: int, loss: Callable[[], float], rate: float) -> None:
        """Adds `records`, done at `rate` records a second; `loss` may wait for the device."""
        self._bar.advance(records, lambda: self._describe(loss(), rate))

    def _describe(self, loss: float, rate: float) -> str:
        left = format_time_left(self._bar.total - self._bar.done, rate)
        return f"loss {loss:.4f}, {rate:,.0f} records/s, {left} left"
