"""The plots of the benchmarks, from their results."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

import bench.lengths as lengths_of
from bench import waste

Results = dict[str, Any]
Drawn = TypeVar("Drawn")
COLOURS = ("#0b5fa5", "#e07b00", "#3a8f3a", "#8a4fa3", "#b03a48")
GREY = "#666666"
PEERS = {"torch_eager": "PyTorch eager", "torch_compiled": "PyTorch compiled"}
BUCKETS = (1, 2, 3, 4, 6, 8, 10, 12, 16)
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
}


def styled(draw: Callable[..., Drawn]) -> Callable[..., Drawn]:
    """Has everything that is drawn look alike, wherever the program sets its own style."""

    @wraps(draw)
    def drawn(*arguments: Any) -> Drawn:
        with mpl.rc_context(STYLE):
            return draw(*arguments)

    return drawn


@styled
def throughput(results: Results) -> Figure | None:
    """Useful tokens a second over batch size, a line a length, ours and a peer's."""
    rows = results.get("grid")
    if not rows:
        return None
    figure, (axes,) = _make_figure(1)
    peer = next((name for name in rows[0] if name in PEERS), None)
    for colour, length in zip(COLOURS, sorted({row["length"] for row in rows}), strict=False):
        mine = [row for row in rows if row["length"] == length]
        batches = [row["batch"] for row in mine]
        ours = [row["ours"] for row in mine]
        axes.plot(batches, ours, "-o", color=colour, markersize=4, label=f"length {length}")
        if peer:
            theirs = [row[peer] for row in mine]
            axes.plot(batches, theirs, "--", color=colour, linewidth=1.2)
    if peer:
        axes.plot([], [], "--", color=GREY, label=f"{PEERS[peer]}, same colours")
    _set_log2(axes, sorted({row["batch"] for row in rows}))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(_format_thousands))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="pairs in one call", ylabel="tokens a second")
    axes.set_title("hcnn, from ragged ids to host scores")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@styled
def latency(results: Results) -> Figure | None:
    """Percentiles of accepted requests over the load offered, and what was refused."""
    rows = results.get("overload")
    if not rows:
        return None
    sizes = sorted({row["pairs"] for row in rows})
    figure, panels = _make_figure(len(sizes))
    for axes, pairs in zip(panels, sizes, strict=True):
        _plot_steps(axes, [row for row in rows if row["pairs"] == pairs], pairs)
    panels[0].set_ylabel("milliseconds")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2 * len(panels))
    return figure


@styled
def padding() -> Figure:
    """Share of computed tokens that is padding over the number of length buckets."""
    figure, (axes,) = _make_figure(1)
    names = [name for name in lengths_of.list_names() if name not in {"single", lengths_of.ONE}]
    for colour, name in zip(COLOURS, names, strict=False):
        fitted, geometric = (
            [waste.compute_padding(name, buckets, fitted=fitted) for buckets in BUCKETS]
            for fitted in (True, False)
        )
        axes.plot(BUCKETS, fitted, "-o", color=colour, markersize=4, label=name)
        axes.plot(BUCKETS, geometric, "--", color=colour, linewidth=1.2)
    axes.plot([], [], "--", color=GREY, label="geometric boundaries, same colours")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlabel="length buckets", ylabel="padding in what is computed", ylim=(0, None))
    axes.set_xticks(BUCKETS)
    axes.set_title(f"{waste.RECORDS:,} pairs a call, boundaries fitted to their lengths")
    axes.legend()
    return figure


def save(figure: Figure, file: Path) -> None:
    """As PNG."""
    figure.savefig(file, format="png", metadata={"Software": ""})


def _plot_steps(axes: Axes, rows: list[dict[str, Any]], pairs: int) -> None:
    load = [row["of_capacity"] for row in rows]
    axes.axvline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    lines = (
        ("accepted_p50_ms", "accepted, p50", COLOURS[0], "--"),
        ("accepted_p99_ms", "accepted, p99", COLOURS[0], "-"),
        ("refused_p99_ms", "refused, p99", COLOURS[1], "-"),
        ("ping_p99_ms", "/ping, p99", COLOURS[2], "-"),
    )
    for name, label, colour, line in lines:
        values = [row[name] if row[name] is not None else float("nan") for row in rows]
        axes.plot(load, values, line, color=colour, marker="o", markersize=4, label=label)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    refused = rows[-1]["refused_share"]
    noun = "pair" if pairs == 1 else "pairs"
    axes.set_title(f"{pairs} {noun} a request, {refused:.0%} refused at {load[-1]:g} x")
    axes.set_xlabel("load offered / capacity")


def _make_figure(panels: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(5.4 + 3.6 * (panels - 1), 3.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    return figure, list(axes)


def _set_log2(axes: Axes, ticks: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])


def _format_thousands(value: float, _: object) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
