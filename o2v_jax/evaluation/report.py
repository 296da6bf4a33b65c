"""The files of an evaluation report, written in one step."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from o2v_jax import __version__
from o2v_jax.atomic import list_others, replace_directory, require_creatable
from o2v_jax.errors import InputError
from o2v_jax.evaluation.classification import Classification
from o2v_jax.evaluation.intervals import CONFIDENCE, METHODS, Estimate, Values
from o2v_jax.evaluation.regression import Regression
from o2v_jax.extras import require_extra
from o2v_jax.plotting import save_figure
from o2v_jax.util import describe_os_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "report.html"
FIGURES = "report.json"
CONFUSION, CALIBRATION = "confusion_matrix.png", "calibration.png"
PREDICTIONS, RESIDUALS = "predictions.png", "residuals.png"
FOUND = "found_by_rank.png"
REPORT_FILES = (PAGE, FIGURES, CONFUSION, CALIBRATION, PREDICTIONS, RESIDUALS, FOUND)


@dataclass(frozen=True)
class WorstPair:
    """A pair that a model gets wrong.

    Attributes:
        record: its number, from 0.
        in0: as text, or ids.
        in1: likewise.
        label: the right class's name, or the right value.
        predicted: the model's.
        figure: the probability of the right class; or prediction minus label.
    """

    record: int
    in0: str
    in1: str
    label: str | float
    predicted: str | float
    figure: float


@dataclass(frozen=True)
class WorstQuery:
    """A query whose relevant candidates are found late.

    Attributes:
        query: as text, or ids.
        relevant: the relevant candidate that comes first, likewise.
        rank: of that candidate.
        first: what was ranked first.
    """

    query: str
    relevant: str
    rank: float
    first: str


class Contents(Protocol):
    """What a report is written of."""

    def as_json(self) -> dict[str, Any]:
        """The contents of report.json, and all that the page says."""

    def draw_plots(self) -> "Iterator[tuple[str, Figure]]":
        """The plots with the names of their files."""


@dataclass(frozen=True, eq=False)
class ReportContents:
    """What a report of labelled pairs holds.

    Attributes:
        about: what was evaluated, by name.
        figures: all figures.
        worst: the pairs that the model gets most wrong.
        labels: of all records.
        predicted: of all records; None for classification.
    """

    about: Mapping[str, str]
    figures: Classification | Regression
    worst: list[WorstPair]
    labels: Values
    predicted: Values | None

    def as_json(self) -> dict[str, Any]:
        """The contents of report.json, and all that the page says."""
        return {
            "about": {"made": _describe_origin(), **self.about},
            "task": "classification" if self.predicted is None else "regression",
            "records": len(self.labels),
            "confidence": CONFIDENCE,
            **vars(self.figures),
            "worst": self.worst,
            "methods": METHODS,
        }

    def draw_plots(self) -> "Iterator[tuple[str, Figure]]":
        """The plots with the names of their files."""
        from o2v_jax.evaluation import plots  # noqa: PLC0415 - draws with matplotlib

        if isinstance(self.figures, Classification):
            yield CONFUSION, plots.plot_confusion(self.figures)
            yield CALIBRATION, plots.plot_calibration(self.figures)
        if self.predicted is not None:
            yield PREDICTIONS, plots.plot_predictions(self.labels, self.predicted)
            yield RESIDUALS, plots.plot_residuals(self.labels, self.predicted)


@dataclass(frozen=True, eq=False)
class RankingContents:
    """What a report of rankings holds.

    Attributes:
        about: what was evaluated, by name.
        metrics: by name, with the numbers of queries and candidates.
        figures: the means among them, with their intervals.
        worst: the queries whose relevant candidates are found last.
        best_ranks: float64 `[queries]`, the rank of the relevant candidate that comes first.
        random_rank: what the mean of these would be in random order.
    """

    about: Mapping[str, str]
    metrics: Mapping[str, float]
    figures: Mapping[str, Estimate]
    worst: list[WorstQuery]
    best_ranks: Values
    random_rank: float

    def as_json(self) -> dict[str, Any]:
        """The contents of report.json, and all that the page says."""
        numbers = {name: self.metrics[name] for name in self.metrics if name not in self.figures}
        return {
            "about": {"made": _describe_origin(), **self.about},
            "task": "ranking",
            **numbers,
            "confidence": CONFIDENCE,
            "metrics": dict(self.figures),
            "baseline": {"mean_rank": self.random_rank},
            "worst": self.worst,
            "methods": METHODS,
        }

    def draw_plots(self) -> "Iterator[tuple[str, Figure]]":
        """The plot with the name of its file."""
        from o2v_jax.evaluation import plots  # noqa: PLC0415 - draws with matplotlib

        yield FOUND, plots.plot_found(self.best_ranks, int(self.metrics["candidates"]))


def _describe_origin() -> str:
    return f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())} by o2v_jax {__version__}"


def check_report_target(folder: Path) -> None:
    """Checks that a report can be written there, so that nobody waits for scores to find it cannot.

    Raises:
        MissingExtraError: what draws the plots and the page is not installed.
        InputError: the folder holds other things, or cannot be made.
    """
    require_extra("train", "an evaluation report", "jinja2", "matplotlib")
    target = folder.resolve()
    try:
        is_new = not target.exists()
        if is_new:
            require_creatable(target)
    except OSError as error:  # a parent that is not writable, or a name that is too long
        raise InputError(f"{folder}: cannot be made ({describe_os_error(error)})") from error
    if is_new:
        return
    if not target.is_dir():
        raise InputError(f"{folder}: is a file, but a report is a folder")
    if others := list_others(target, REPORT_FILES):
        shown = ", ".join(others[:5])
        raise InputError(
            f"{folder}: holds other things than a report ({shown}): choose another name"
        )


def write_report(folder: Path, contents: Contents) -> Path:
    """Writes a report, or replaces one, and returns the path of its page.

    Raises:
        MissingExtraError, InputError: see `check_report_target`; or it cannot be written.
    """
    check_report_target(folder)
    try:
        with replace_directory(folder.resolve(), REPORT_FILES, last=PAGE) as staging:
            _write_files(staging, contents)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({describe_os_error(error)})") from error
    return folder / PAGE


def _write_files(directory: Path, contents: Contents) -> None:
    from o2v_jax.evaluation.page import render_page  # noqa: PLC0415 - renders with Jinja

    found = contents.as_json()
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    (directory / FIGURES).write_bytes(orjson.dumps(found, option=options))
    images = {}
    for name, figure in contents.draw_plots():
        save_figure(figure, directory / name)
        images[name] = (directory / name).read_bytes()
    (directory / PAGE).write_text(render_page(found, images), encoding="utf-8")
