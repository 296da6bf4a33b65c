"""The search as a picture: how it got better, and what each hyperparameter has to do with it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from o2v_jax.atomic import replace_file
from o2v_jax.hyperparameters.text import write
from o2v_jax.plotting import BLUE, GREY, ORANGE
from o2v_jax.tuning.ranges import Interval, Range, Value, Values
from o2v_jax.tuning.report import TrialRow, format_metric, rank_rows
from o2v_jax.tuning.study import Study
from o2v_jax.util import silence_logger

COLUMNS = 4
SHOWN = 8  # times as far from the best as the middle trial: farther ones are drawn at the edge
_LEVEL = 3  # names that fit beside each other without a slope
_NARROW = 100  # high / low below which a logarithmic axis needs more ticks than powers of ten


def plot(rows: Sequence[TrialRow], study: Study, file: Path) -> None:
    """Draws the trials into a PNG file; one at least must be complete.

    Above, the objective by trial with the best so far as a line; below, a panel for every
    hyperparameter searched, on a logarithmic axis where it was drawn so. Trials that are far off,
    or that were pruned before they had a value, are crosses at the edge.
    """
    ranges = study.space.ranges
    columns = min(COLUMNS, max(2, len(ranges)))
    lines = math.ceil(len(ranges) / columns)
    points = _Points.of(rows, rank_rows(rows, study)[0])
    with silence_logger("matplotlib"):
        figure = Figure(figsize=(3.1 * columns, 3.4 + 2.4 * lines), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(1 + lines, columns, height_ratios=[3.4] + [2.4] * lines)
        top = figure.add_subplot(grid[0, :])
        _progress(top, points, study)
        for at, (name, searched) in enumerate(ranges.items()):
            axes = figure.add_subplot(grid[1 + at // columns, at % columns], sharey=top)
            _panel(axes, points, name, searched)
            axes.tick_params(labelleft=at % columns == 0)
        with replace_file(file) as path:
            figure.savefig(path, format="png")


@dataclass(frozen=True)
class _Points:
    """The trials, each with its height; `off` ones are held at the edge, `limits` the axis'."""

    rows: Sequence[TrialRow]
    best: TrialRow
    heights: npt.NDArray[np.float64]
    off: npt.NDArray[np.bool_]
    limits: tuple[float, float]

    @classmethod
    def of(cls, rows: Sequence[TrialRow], best: TrialRow) -> "_Points":
        """Heights of all trials; how far the axis goes follows from the complete ones."""
        values = np.array([math.nan if row.value is None else row.value for row in rows])
        peak = float(best.value or 0.0)
        away = np.abs(values - peak)
        complete = away[[row.complete for row in rows]]
        most = SHOWN * float(np.median(complete)) or float(complete.max())
        far = min(most, float(np.nanmax(away))) or abs(peak) / 10 or 1.0
        off = ~(away <= far)
        worse = _worse_direction(values, peak)
        edge = peak + worse * far
        margin = 0.06 * far
        limits = sorted((peak - worse * margin, edge + worse * margin))
        return cls(rows, best, np.where(off, edge, values), off, (limits[0], limits[1]))

    def draw(self, axes: Axes, places: Sequence[float]) -> None:
        """Draws every trial at its position and height, the best one in another colour."""
        at = np.asarray(places, dtype=float)
        complete = np.array([row.complete for row in self.rows])
        styles: tuple[tuple[str, npt.NDArray[np.bool_], dict[str, Any]], ...] = (
            ("complete", complete & ~self.off, {"color": BLUE}),
            ("pruned", ~complete & ~self.off, {"facecolor": "none", "edgecolor": GREY}),
            ("far off, or pruned at once", self.off, {"color": GREY, "marker": "x"}),
        )
        for label, chosen, style in styles:
            if chosen.any():
                axes.scatter(at[chosen], self.heights[chosen], s=22, zorder=3, label=label, **style)
        best = self.rows.index(self.best)
        axes.scatter(at[best], self.heights[best], color=ORANGE, s=40, zorder=4, label="best")
        axes.grid(color="#dddddd", linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)


def _worse_direction(values: npt.NDArray[np.float64], peak: float) -> int:
    """The direction in which values are worse than the best: 1 is up."""
    return -1 if np.nanmean(values) < peak else 1


def _progress(axes: Axes, points: _Points, study: Study) -> None:
    """The objective by trial, and the best so far."""
    numbers = [row.number for row in points.rows]
    points.draw(axes, numbers)
    values = [
        row.value if row.complete and row.value is not None else math.nan for row in points.rows
    ]
    running = np.fmax if study.objective.direction == "maximize" else np.fmin
    axes.step(numbers, running.accumulate(values), where="post", color=ORANGE, linewidth=1.2)
    axes.set(xlabel="trial", ylabel=str(study.objective), ylim=points.limits)
    best = f"best {study.objective} {format_metric(points.best.value)}, trial {points.best.number}"
    axes.set_title(best, loc="left")
    axes.set_xlim(0.5, max(numbers) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, edgecolor="none", borderpad=0)


def _panel(axes: Axes, points: _Points, name: str, searched: Range) -> None:
    """The objective by a hyperparameter."""
    points.draw(axes, [_position(row.settings[name], searched) for row in points.rows])
    axes.set_xlabel(name)
    if isinstance(searched, Values):
        names = [write(value) for value in searched.values]
        axes.set_xticks(
            range(len(names)), names, fontsize=8, rotation=30 if len(names) > _LEVEL else 0
        )
        axes.set_xlim(-0.5, len(names) - 0.5)
    elif searched.log:
        _log_axis(axes, searched)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=searched.whole, min_n_ticks=1))
        margin = 0.05 * (searched.high - searched.low)
        axes.set_xlim(searched.low - margin, searched.high + margin)


def _position(value: Value, searched: Range) -> float:
    """The position of a value on its axis: names in their order."""
    return searched.values.index(value) if isinstance(searched, Values) else float(value)


def _log_axis(axes: Axes, searched: Interval) -> None:
    """A logarithmic axis over the whole range; a range that begins at 0 has that at its left."""
    if searched.low == 0:
        axes.set_xscale("symlog", linthresh=searched.least)
        lowest, highest = (round(math.log10(end)) for end in (searched.least, searched.high))
        axes.set_xticks([0, *(10.0**power for power in range(highest, lowest, -2))])
        axes.set_xlim(-searched.least / 3, searched.high * 2)
    else:
        axes.set_xscale("log")
        margin = (searched.high / searched.low) ** 0.05
        axes.set_xlim(searched.low / margin, searched.high * margin)
        narrow = searched.high < _NARROW * searched.low
        subs = (1.0, 2.0, 5.0) if narrow else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
    if searched.whole:
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
