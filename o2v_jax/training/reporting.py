"""What a training run says while it goes: the documented metric lines, and a progress bar."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

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
    kind = "score" if name == "accuracy" else "loss"
    return f"#quality_metric: host={host},{when} {channel} {name} <{kind}>={value}"


@dataclass
class Reporter:
    """Writes lines that name `host` to `stream`, and on a terminal a progress bar below them."""

    host: str = HOST
    stream: TextIO = field(default_factory=lambda: sys.stdout)

    def __post_init__(self) -> None:
        self.console = Console(file=self.stream, highlight=False, soft_wrap=True)

    def line(self, text: str) -> None:
        """One line, at once."""
        self.console.print(text, markup=False)
        self.stream.flush()

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

    def bar(self, title: str, total: int) -> "Bar":
        """A bar of `total` records; it shows on a terminal only."""
        return Bar(title, total, self.console)


class Bar:
    """Progress through an epoch: records done, loss, records a second, time left."""

    def __init__(self, title: str, total: int, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  {task.fields[rate]:,.0f} records/s"),
            TimeRemainingColumn(),
        )
        disable = not console.is_terminal
        self._progress = Progress(*columns, console=console, transient=True, disable=disable)
        self._task = self._progress.add_task(title, total=total, loss=0.0, rate=0.0)
        self.visible = not disable

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, records: int, loss: Callable[[], float], rate: float) -> None:
        """Moves on; `loss` is asked for only where it is shown, for it waits for the device."""
        if self.visible:
            self._progress.update(self._task, advance=records, loss=loss(), rate=rate)
