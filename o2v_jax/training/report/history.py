"""The metrics of every epoch as a table, for spreadsheets and plots."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from o2v_jax.atomic import replace_file
from o2v_jax.util import silence_logger

History = Sequence[Mapping[str, Mapping[str, float]]]


def write_history(folder: Path, history: History, rates: Sequence[float]) -> Path:
    """Writes history.csv into `folder`, which is made if there is none, and returns its path.

    A row an epoch: its number from 0, every metric of every channel (`train_cross_entropy`, ...)
    and `records_per_second`. The file is whole at any moment: the next one takes its place in one
    step, so a run that was killed and resumed leaves what an uninterrupted one does.

    Args:
        folder: where reports go.
        history: for every epoch the metrics by channel and name.
        rates: for every epoch the training records a second.
    """
    rows = [
        {"epoch": epoch, **_flat(metrics), "records_per_second": f"{rate:.2f}"}
        for epoch, (metrics, rate) in enumerate(zip(history, rates, strict=True))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with replace_file(folder / "history.csv") as path, path.open("w", newline="") as file:
        table = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["epoch"])
        table.writeheader()
        table.writerows(rows)
    return folder / "history.csv"


def _flat(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {
        f"{channel}_{name}": value
        for channel, values in metrics.items()
        for name, value in values.items()
    }


if TYPE_CHECKING:
    from matplotlib.axes import Axes

# of the palette by Okabe and Ito, which people see alike whatever their sight of colours
COLOURS = {"train": "#0072B2", "validation": "#D55E00", "test": "#009E73"}
MARKERS = {"train": "o", "validation": "s"}
GREY = "#777777"
MANY = 40  # epochs from which on a marker at each would make a band of the line


def plot_curves(
    folder: Path, history: History, best_epoch: int, test: Mapping[str, float] | None = None
) -> Path:
    """Draws curves.png into `folder`, which is made if there is none, and returns its path.

    A panel for every metric shows the train and validation channels by epoch, with the best epoch
    marked and the test channel's value as a dotted line. Needs no display and leaves matplotlib's
    global state alone.

    Args:
        folder: where reports go.
        history: for every epoch, of which there is at least one, the metrics by channel and name.
        best_epoch: the epoch that was kept, from 0.
        test: the test channel's metrics, if there is one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with silence_logger("matplotlib"):  # which speaks of its font cache and its folders
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow
        from matplotlib.figure import Figure  # noqa: PLC0415

        names = list(history[0]["train"])
        figure = Figure(figsize=(5.5 * len(names), 4), dpi=120)
        figure.subplots_adjust(
            0.7 / figure.get_figwidth(), 0.13, 1 - 0.2 / figure.get_figwidth(), 0.92
        )
        FigureCanvasAgg(figure)
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            _draw(axes, name, _series(history, name), best_epoch, (test or {}).get(name))
        with replace_file(folder / "curves.png") as path:
            figure.savefig(path, format="png")
    return folder / "curves.png"


def _series(history: History, name: str) -> dict[str, list[float]]:
    """A metric by channel, a value an epoch."""
    channels = [channel for channel in COLOURS if channel in history[0]]
    return {channel: [epoch[channel][name] for epoch in history] for channel in channels}


def _draw(
    axes: "Axes",
    name: str,
    series: Mapping[str, Sequence[float]],
    best_epoch: int,
    test: float | None,
) -> None:
    """One panel: a line a channel, the best epoch, the test channel's value."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    epochs = len(series["train"])
    for channel, values in series.items():
        (line,) = axes.plot(values, color=COLOURS[channel], markersize=4)
        line.set_label(_label(channel, values[best_epoch]))
        line.set_marker(MARKERS[channel] if epochs < MANY else "")
    if test is not None:
        line = axes.axhline(test, color=COLOURS["test"], linestyle=":", linewidth=2)
        line.set_label(_label("test", test))
    line = axes.axvline(best_epoch, color=GREY, linestyle="--", linewidth=1)
    line.set_label(f"kept: epoch {best_epoch}")
    axes.set(title=name.replace("_", " "), xlabel="epoch", xlim=(-0.5, epochs - 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(facecolor="white", edgecolor="none", framealpha=0.8)


def _label(channel: str, value: float) -> str:
    """A channel with its value for the parameters that were kept."""
    return f"{channel} {value:.4g}"
