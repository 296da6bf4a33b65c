"""The plots of an evaluation report, as matplotlib figures."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from o2v_jax.evaluation.classification import Classification
from o2v_jax.evaluation.intervals import Values
from o2v_jax.plotting import BLUE, GREY, ORANGE, make_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHARES = 12  # classes up to which a cell has room for its share too
_DARK = 0.55  # share from which on a cell is too dark for black text
_NAME = 18  # characters of a class name on an axis
_SLOPED = 5  # names on an axis from which on they do not fit side by side
_POINTS = 2000  # records from which on points would hide each other
_MOST_BINS = 60


def plot_confusion(found: Classification) -> "Figure":
    """The confusion matrix: a row a label, a column a prediction, coloured by share of the row."""
    confusion = np.array(found.confusion)
    names = [shorten_name(each.name) for each in found.classes]
    size = max(4.2, 0.55 * len(names) + 1.8)
    figure = make_figure(size + 0.8, size, layout="constrained")
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    _write_cells(axes, confusion, shares)
    ticks = range(len(names))
    axes.set_xticks(ticks, names)
    if len(names) >= _SLOPED:
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted class", ylabel="label (right class)")
    axes.set_title("Confusion matrix", loc="left")
    figure.colorbar(image, ax=axes, label="share of the label's records", shrink=0.8)
    return figure


def _write_cells(axes: "Axes", confusion: npt.NDArray[np.int64], shares: Values) -> None:
    for (row, column), count in np.ndenumerate(confusion):
        share = float(shares[row, column])
        text = f"{count:,}" + (f"\n{share:.0%}" if len(confusion) <= _SHARES else "")
        colour = "white" if share > _DARK else "black" if count else GREY
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)


def plot_calibration(found: Classification) -> "Figure":
    """How often predictions were right by their probability, above how many there were."""
    bins = [each for each in found.calibration if each.records]
    confidence = np.array([each.confidence for each in bins])
    accuracy = np.array([each.accuracy.value for each in bins])
    low = np.array([each.accuracy.low for each in bins])
    high = np.array([each.accuracy.high for each in bins])
    figure = make_figure(5.2, 5.4, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfect calibration")
    spread = np.clip([accuracy - low, high - accuracy], 0, None)
    upper.errorbar(confidence, accuracy, spread, color=BLUE, marker="o", capsize=3, label="model")
    upper.set(ylabel="share that was right", xlim=(0, 1), ylim=(0, 1.02))
    upper.set_title("Calibration, with 95 % intervals", loc="left")
    upper.legend(edgecolor="none", loc="upper left")
    edges = [each.low for each in found.calibration]
    counts = [each.records for each in found.calibration]
    lower.bar(edges, counts, width=1 / len(edges), align="edge", color=BLUE, edgecolor="white")
    lower.set(xlabel="probability of the predicted class", ylabel="records")
    _count_whole(lower)
    for axes in (upper, lower):
        style_axes(axes)
    return figure


def plot_predictions(labels: Values, predicted: Values) -> "Figure":
    """Predictions by label, with the line on which they would be equal."""
    figure = make_figure(5.4, 4.8, layout="constrained")
    axes = figure.subplots()
    ends = _find_limits(np.concatenate([labels, predicted]))
    if len(labels) > _POINTS:
        image = axes.hexbin(
            labels,
            predicted,
            gridsize=40,
            mincnt=1,
            bins="log",
            cmap="Blues",
            extent=(*ends, *ends),
        )
        figure.colorbar(image, ax=axes, label="records")
    else:
        axes.scatter(labels, predicted, s=14, color=BLUE, alpha=0.5, linewidths=0, label="a record")
    axes.plot(ends, ends, color=ORANGE, linestyle="--", label="prediction = label")
    axes.set(xlabel="label", ylabel="prediction", xlim=ends, ylim=ends)
    axes.set_title("Predictions by label", loc="left")
    axes.legend(edgecolor="none", loc="upper left")
    style_axes(axes)
    return figure


def plot_residuals(labels: Values, predicted: Values) -> "Figure":
    """A histogram of prediction minus label."""
    residuals = predicted - labels
    figure = make_figure(5.4, 3.8, layout="constrained")
    axes = figure.subplots()
    bins = min(_MOST_BINS, max(10, int(np.sqrt(len(residuals)))))
    axes.hist(residuals, bins=bins, range=_find_limits(residuals), color=BLUE, edgecolor="white")
    axes.axvline(0, color=ORANGE, linestyle="--", label="no error")
    mean = float(residuals.mean())
    axes.axvline(mean, color=GREY, linestyle=":", linewidth=2, label=f"mean {mean:.3g}")
    axes.set(xlabel="residual: prediction - label", ylabel="records")
    axes.set_title("Residuals", loc="left")
    _count_whole(axes)
    axes.legend(edgecolor="none")
    style_axes(axes)
    return figure


def plot_found(best_ranks: Values, candidates: int) -> "Figure":
    """The share of queries that find a relevant candidate by rank, on a logarithmic axis."""
    ranks = np.sort(best_ranks)
    shares = np.arange(1, len(ranks) + 1) / len(ranks)
    figure = make_figure(5.8, 3.8, layout="constrained")
    axes = figure.subplots()
    # from the left edge to the right one, and straight up where queries are found
    ends = np.concatenate([[1.0], ranks, [max(2, candidates)]])
    axes.step(ends, np.concatenate([[0.0], shares, [1.0]]), where="post", color=BLUE)
    axes.set(xscale="log", xlim=(1, max(2, candidates)), ylim=(0, 1.02))
    axes.set(xlabel="rank among the candidates", ylabel="share of queries found")
    axes.set_title("Queries whose first relevant candidate is found by rank", loc="left")
    style_axes(axes)
    return figure


def _count_whole(axes: "Axes") -> None:
    """Whole numbers alone on an axis of counts."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - slow to import

    axes.yaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))


def _find_limits(values: Values) -> tuple[float, float]:
    """A range that holds all values with a margin."""
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or max(abs(low), 1.0) / 10
    return low - margin, high + margin


def shorten_name(name: str) -> str:
    """A class name that fits on an axis; its dollar signs do not begin a formula."""
    shown = name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
    return shown.replace("$", r"\$")
