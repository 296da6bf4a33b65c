"""A plot of the search: its progress, and the objective by each hyperparameter."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from o2v_jax.hyperparameters.text import format_value
from o2v_jax.plotting import BAND, BLUE, GREY, ORANGE, make_figure, save_figure, style_axes
from o2v_jax.tuning.ranges import Interval, Range, Value, Values
from o2v_jax.tuning.report import TrialRow, format_metric, rank_rows
from o2v_jax.tuning.study import Study

COLUMNS = 4
SHOWN = 8  # trials more than so many times the median distance from the best are off the scale
_LEVEL = 3  # names that fit beside each other without a slope
_MARGIN, _BAND = 0.06, 0.2  # of the scale's length
_OFF_SCALE = "off scale"
_NARROW = 100  # high / low below which a logarithmic axis needs more ticks than powers of ten


def plot(rows: Sequence[TrialRow], study: Study, file: Path) -> None:
    """Draws the trials into a PNG file; one at least must be complete.

    Above, the objective by trial with the best so far as a line; below, a panel for every
    hyperparameter searched, on a logarithmic axis where it was drawn so. Trials that are far off,
    or that were pruned before they had a value, are crosses in a grey band beyond the scale.

    Raises:
        OSError: the file cannot be written.
    """
    save_figure(draw_trials(rows, study), file)


def draw_trials(rows: Sequence[TrialRow], study: Study) -> Figure:
    """The figure of `plot`."""
    ranges = study.space.ranges
    columns = min(COLUMNS, max(2, len(ranges)))
    lines = math.ceil(len(ranges) / columns)
    points = _Points.of(rows, rank_rows(rows, study)[0])
    figure = make_figure(3.1 * columns, 3.4 + 2.4 * lines, layout="constrained")
    grid = figure.add_gridspec(1 + lines, columns, height_ratios=[3.4] + [2.4] * lines)
    top = figure.add_subplot(grid[0, :])
    _draw_progress(top, points, study)
    handles, labels = top.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper right", ncols=4, edgecolor="none", borderpad=0
    )
    for at, (name, searched) in enumerate(ranges.items()):
        axes = figure.add_subplot(grid[1 + at // columns, at % columns], sharey=top)
        _draw_panel(axes, points, name, searched)
        axes.tick_params(labelleft=at % columns == 0)
    return figure


@dataclass(frozen=True)
class _Points:
    """The trials, each with its height.

    Attributes:
        rows: the trials.
        best: the best of them.
        heights: of each; of `off` ones the middle of the band.
        off: which have no place on the scale.
        scale: its lower and its upper end.
        band: that of what is off, beyond the worse end; None if nothing is.
    """

    rows: Sequence[TrialRow]
    best: TrialRow
    heights: npt.NDArray[np.float64]
    off: npt.NDArray[np.bool_]
    scale: tuple[float, float]
    band: tuple[float, float] | None

    @classmethod
    def of(cls, rows: Sequence[TrialRow], best: TrialRow) -> "_Points":
        """Heights of all trials; how far the scale goes follows from the complete ones."""
        values = np.array([math.nan if row.value is None else row.value for row in rows])
        peak = float(best.value or 0.0)
        away = np.abs(values - peak)
        complete = away[[row.complete for row in rows]]
        most = SHOWN * float(np.median(complete)) or float(complete.max())
        far = min(most, float(np.nanmax(away))) or abs(peak) / 10 or 1.0
        off = ~(away <= far)
        far = float(away[~off].max()) or far  # no longer than what stands on it
        worse = _find_worse_direction(values, peak)
        margin, width = _MARGIN * far, _BAND * far
        end = peak + worse * (far + margin)
        heights = np.where(off, end + worse * width / 2, values)
        band = _sort(end, end + worse * width) if off.any() else None
        return cls(rows, best, heights, off, _sort(peak - worse * margin, end), band)

    @property
    def limits(self) -> tuple[float, float]:
        """Where the axis begins and ends: the scale and the band."""
        ends = (*self.scale, *(self.band or ()))
        return min(ends), max(ends)

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
        style_axes(axes)
        if self.band:
            axes.axhspan(*self.band, color=BAND, linewidth=0, zorder=2)

    def set_scale(self, axes: Axes) -> None:
        """Limits and ticks of the axis; the band has a name and no values."""
        axes.set_ylim(self.limits)
        if self.band is None:
            return
        low, high = self.scale
        ticks = [
            tick
            for tick in MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
            if low <= tick <= high
        ]
        labels = [f"{tick:g}" for tick in ticks]
        axes.set_yticks([*ticks, sum(self.band) / 2], [*labels, _OFF_SCALE])


def _sort(one: float, other: float) -> tuple[float, float]:
    return min(one, other), max(one, other)


def _find_worse_direction(values: npt.NDArray[np.float64], peak: float) -> int:
    """The direction in which values are worse than the best: 1 is up."""
    return -1 if np.nanmean(values) < peak else 1


def _draw_progress(axes: Axes, points: _Points, study: Study) -> None:
    """The objective by trial, and the best so far."""
    numbers = [row.number for row in points.rows]
    points.draw(axes, numbers)
    points.set_scale(axes)
    values = [
        row.value if row.complete and row.value is not None else math.nan for row in points.rows
    ]
    running = np.fmax if study.objective.direction == "maximize" else np.fmin
    line = running.accumulate(values)
    line[(line < points.scale[0]) | (line > points.scale[1])] = math.nan  # not through the band
    axes.step(numbers, line, where="post", color=ORANGE, linewidth=1.2)
    axes.set(xlabel="trial", ylabel=str(study.objective))
    best = f"best {study.objective} {format_metric(points.best.value)}, trial {points.best.number}"
    axes.set_title(best, loc="left")
    axes.set_xlim(0.5, max(numbers) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _draw_panel(axes: Axes, points: _Points, name: str, searched: Range) -> None:
    """The objective by a hyperparameter."""
    points.draw(axes, [_place_value(row.settings[name], searched) for row in points.rows])
    axes.set_xlabel(name)
    if isinstance(searched, Values):
        names = [format_value(value) for value in searched.values]
        axes.set_xticks(
            range(len(names)), names, fontsize=8, rotation=30 if len(names) > _LEVEL else 0
        )
        axes.set_xlim(-0.5, len(names) - 0.5)
    elif searched.log:
        _set_log_axis(axes, searched)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=searched.whole, min_n_ticks=1))
        margin = 0.05 * (searched.high - searched.low)
        axes.set_xlim(searched.low - margin, searched.high + margin)


def _place_value(value: Value, searched: Range) -> float:
    """The position of a value on its axis: names in their order."""
    return searched.values.index(value) if isinstance(searched, Values) else float(value)


def _set_log_axis(axes: Axes, searched: Interval) -> None:
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
