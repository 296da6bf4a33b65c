"""The metrics of every epoch as curves."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.plotting import BLUE, GREEN, GREY, ORANGE, make_figure, save_figure, style_axes
from o2v_jax.training.report.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# a value an epoch, by channel
Series: TypeAlias = Mapping[str, npt.NDArray[np.float64]]

COLOURS = {"train": BLUE, "validation": ORANGE, "test": GREEN}
MARKERS = {"train": "o", "validation": "s"}
MANY = 40  # epochs from which on a marker at each would make a band of the line
FLATTENED = 10  # times the range of the other epochs: what lies so far off is outside the axis
_SHARE = 10  # one epoch of so many may be outside, one at least
_MARGIN = 0.06


class Scale(NamedTuple):
    """How a metric is shown: its names, and another scale at the right."""

    title: str
    axis: str
    show: Callable[[float], float] = float
    right: str = ""


# a metric that is not here is shown under its own name
SCALES = {
    "cross_entropy": Scale("cross-entropy", "cross-entropy (nats, lower is better)"),
    "accuracy": Scale("accuracy", "accuracy (share of records that are right)"),
    "mrr": Scale("MRR, mean reciprocal rank", "MRR (1 is best)"),
    "hits_at_1": Scale("hits@1", "share of queries whose partner is first"),
    "hits_at_10": Scale("hits@10", "share of queries whose partner is among the first 10"),
    "mean_rank": Scale("mean rank", "mean rank of the partner (1 is best)"),
    "mean_squared_error": Scale(
        "RMSE, root mean squared error",
        "RMSE (unit of the label, lower is better)",
        math.sqrt,
        "MSE, mean squared error (unit squared)",
    ),
}


def plot_curves(
    folder: Path, history: History, best_epoch: int, test: Mapping[str, float] | None = None
) -> Path:
    """Draws curves.png into `folder`, which is made if there is none, and returns its path.

    A panel for every metric shows the train and validation channels by epoch, with the best epoch
    marked and the test channel's value as a dotted line. Squared errors are shown as their roots,
    which have the label's unit, beside the scale of the squares. Epochs that would flatten all
    others are outside the axis: an arrow at its edge says so, and a line gives their values.

    Args:
        folder: where reports go.
        history: for every epoch, of which there is at least one, the metrics by channel and name.
        best_epoch: the epoch that was kept, from 0.
        test: the test channel's metrics, if there is one.

    Raises:
        OSError: the file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_figure(draw_curves(history, best_epoch, test), folder / "curves.png")
    return folder / "curves.png"


def draw_curves(
    history: History, best_epoch: int, test: Mapping[str, float] | None = None
) -> "Figure":
    """The figure of `plot_curves`."""
    names = [*dict.fromkeys(name for values in history[0].values() for name in values)]
    figure = make_figure(5.5 * len(names), 4, layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        scale = SCALES.get(name, Scale(name.replace("_", " "), name.replace("_", " ")))
        _Panel.of(history, name, scale, best_epoch, (test or {}).get(name)).draw(axes)
    return figure


@dataclass(frozen=True)
class _Panel:
    """A metric: its values by channel and epoch, as they are shown, and that of the test data."""

    scale: Scale
    series: Series
    best_epoch: int
    test: float | None

    @classmethod
    def of(
        cls, history: History, name: str, scale: Scale, best_epoch: int, test: float | None
    ) -> "_Panel":
        """A metric by channel, a value an epoch; those that are not finite are left out."""
        series = {
            channel: np.array([_show(scale, epoch[channel][name]) for epoch in history])
            for channel in COLOURS
            if name in history[0].get(channel, {})
        }
        return cls(scale, series, best_epoch, None if test is None else _show(scale, test))

    def draw(self, axes: "Axes") -> None:
        """A line a channel, the best epoch, the test channel's value."""
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - slow to import

        epochs = len(next(iter(self.series.values())))
        for channel, values in self.series.items():
            (line,) = axes.plot(values, color=COLOURS[channel], markersize=4)
            line.set_label(_write_label(channel, values[self.best_epoch]))
            line.set_marker(MARKERS[channel] if epochs < MANY else "")
        if self.test is not None:
            line = axes.axhline(self.test, color=COLOURS["test"], linestyle=":", linewidth=2)
            line.set_label(_write_label("test", self.test))
        line = axes.axvline(self.best_epoch, color=GREY, linestyle="--", linewidth=1)
        line.set_label(f"kept: epoch {self.best_epoch}")
        axes.set(xlabel="epoch", ylabel=self.scale.axis, xlim=(-0.5, epochs - 0.5))
        axes.set_title(self.scale.title, loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        style_axes(axes)
        self._limit_axis(axes)
        if self.scale.right:
            _add_squares(axes, self.scale.right)
        axes.legend(facecolor="white", edgecolor="none", framealpha=0.8)

    def _limit_axis(self, axes: "Axes") -> None:
        """Leaves epochs out of the axis that would flatten the others, and says which."""
        outside = find_outliers(self.series, self.best_epoch)
        if not outside.any():
            return
        shown = np.concatenate([values[~outside] for values in self.series.values()])
        shown = np.append(shown, [] if self.test is None else [self.test])
        margin = _MARGIN * float(np.nanmax(shown) - np.nanmin(shown))
        low, high = float(np.nanmin(shown)) - margin, float(np.nanmax(shown)) + margin
        axes.set_ylim(low, high)
        for channel, values in self.series.items():
            for epoch in np.flatnonzero(outside & ((values < low) | (values > high))).tolist():
                _point_outside(axes, epoch, values[epoch] > high, COLOURS[channel])
        axes.set_xlabel(f"epoch\n{self._describe(outside)}")

    def _describe(self, outside: npt.NDArray[np.bool_]) -> str:
        """Which epochs are outside the axis, and what the first of them reached."""
        first, *others = np.flatnonzero(outside).tolist()
        values = ", ".join(f"{name} {row[first]:.3g}" for name, row in self.series.items())
        more = f", and {len(others)} more" if others else ""
        return f"outside the axis: epoch {first} ({values}){more}"


def find_outliers(series: Series, best_epoch: int) -> npt.NDArray[np.bool_]:
    """The epochs that would flatten all others on a common axis, bool `[epochs]`.

    At most a tenth of the epochs, or one, is outside, and only if with them the axis would be more
    than ten times as long. The epoch that was kept never is.

    Args:
        series: values by channel and epoch; NaN is left out.
        best_epoch: the epoch that was kept.
    """
    values = np.array([*series.values()])
    away = np.nan_to_num(np.abs(values - values[:, [best_epoch]])).max(axis=0)
    farthest = np.argsort(-away, kind="stable")[: max(1, len(away) // _SHARE)]
    suspect = np.isin(np.arange(len(away)), farthest) & (away > 0)
    rest = values[:, ~suspect]
    if not np.isfinite(rest).any():
        return np.zeros_like(suspect)
    low, high = float(np.nanmin(rest)), float(np.nanmax(rest))
    spread, whole = high - low, float(np.nanmax(values) - np.nanmin(values))
    if not 0 < FLATTENED * spread < whole:
        return np.zeros_like(suspect)
    near = (values >= low - spread) & (values <= high + spread)
    outside: npt.NDArray[np.bool_] = suspect & ~(near | np.isnan(values)).all(axis=0)
    return outside


def _show(scale: Scale, value: float) -> float:
    """A value on the scale that is shown; NaN where it is not finite."""
    return scale.show(value) if math.isfinite(value) else math.nan


def _point_outside(axes: "Axes", epoch: int, above: bool, colour: str) -> None:
    """An arrow at the edge of the axis, towards a value outside."""
    marker, height = ("^", 0.985) if above else ("v", 0.015)
    transform = axes.get_xaxis_transform()  # epochs along, shares of the axis upwards
    axes.plot(
        [epoch], [height], marker, color=colour, markersize=7, clip_on=False, transform=transform
    )


def _add_squares(axes: "Axes", label: str) -> None:
    """The scale of the squares at the right."""
    axes.secondary_yaxis("right", functions=(_square, _take_root)).set_ylabel(label)


def _square(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Squares, which keep their sign: an axis may begin a little below 0, and has to rise."""
    roots = np.asarray(values, np.float64)
    return roots * np.abs(roots)


def _take_root(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    squares = np.asarray(values, np.float64)
    return np.asarray(np.sign(squares) * np.sqrt(np.abs(squares)))


def _write_label(channel: str, value: float) -> str:
    """A channel with its value for the parameters that were kept."""
    return f"{channel} {value:.4g}"
