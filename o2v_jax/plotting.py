"""Figures that need no display and leave matplotlib's global state alone."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o2v_jax.atomic import replace_file
from o2v_jax.util import silence_logger

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# of the palette by Okabe and Ito, whose colours colour-blind people can tell apart
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
GREY = "#777777"
BAND = "#eeeeee"  # where points are drawn that lie outside an axis
_DPI = 120


def make_figure(width: float, height: float, **settings: Any) -> "Figure":
    """A figure of this size in inches, to be drawn as a PNG; `settings` are those of `Figure`."""
    with silence_logger("matplotlib"):  # which logs about its font cache and its folders
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow
        from matplotlib.figure import Figure  # noqa: PLC0415

        figure = Figure(figsize=(width, height), dpi=_DPI, **settings)
        FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", file: Path) -> None:
    """Writes a figure as a PNG file, in one atomic step.

    Raises:
        OSError: the file cannot be written.
    """
    with silence_logger("matplotlib"), warnings.catch_warnings(), replace_file(file) as path:
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box is drawn for it
        # `savefig` would draw it twice: to learn its layout, and again
        figure.canvas.print_png(path)  # type: ignore[attr-defined]


def style_axes(axes: "Axes") -> None:
    """Draws a light grid behind the data, and no frame at the top and at the right."""
    axes.set_axisbelow(True)
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
