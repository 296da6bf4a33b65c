"""The page of an evaluation report: one HTML file with its plots in it, which needs no network."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from o2v_jax.evaluation.intervals import Estimate
from o2v_jax.scoring.relevance import CUTOFFS, NDCG_CUTOFFS

TEMPLATES = Path(__file__).parent
_SHOWN = 400  # characters of a text in a table


def _describe(cutoff: int) -> str:
    place = "in the first place" if cutoff == 1 else f"among the first {cutoff}"
    return f"{place}, as a share of all"


# name -> what a person calls it, and what it says
METRICS = {
    "accuracy": ("Accuracy", "the share of records for which the model chose the right class"),
    "macro_f1": ("Macro F1", "the mean of the classes' F1; every class counts alike"),
    "macro_precision": ("Macro precision", "the mean of the classes' precision"),
    "macro_recall": ("Macro recall", "the mean of the classes' recall"),
    "cross_entropy": (
        "Cross-entropy",
        "the mean of -ln of the right class's probability, in nats; 0 is perfect",
    ),
    "expected_calibration_error": (
        "Expected calibration error",
        "how far probabilities are from how often they are right; 0 is perfect",
    ),
    "root_mean_squared_error": (
        "RMSE",
        "root mean squared error, in the unit of the labels; 0 is perfect",
    ),
    "mean_absolute_error": ("MAE", "mean absolute error, in the unit of the labels"),
    "mean_squared_error": ("MSE", "mean squared error, the loss that training minimises"),
    "mean_residual": ("Mean residual", "prediction minus label; above 0 the model is too high"),
    "r2": ("R²", "the share of the labels' variance that the model explains; 1 is perfect"),
    "pearson": ("Pearson's r", "the linear correlation of predictions and labels, -1 to 1"),
    "spearman": ("Spearman's rho", "the correlation of their ranks, -1 to 1"),
    "mrr": ("MRR", "mean reciprocal rank: of 1 / the rank of the first relevant candidate"),
    **{
        f"hits_at_{k}": (f"Hits@{k}", f"queries that have a relevant one {_describe(k)}")
        for k in CUTOFFS
    },
    **{f"recall_at_{k}": (f"Recall@{k}", f"relevant candidates {_describe(k)}") for k in CUTOFFS},
    **{
        f"ndcg_at_{k}": (f"nDCG@{k}", "as recall, but the earlier the better; 1 is perfect")
        for k in NDCG_CUTOFFS
    },
    "mean_rank": ("Mean rank", "of the first relevant candidate; 1 is perfect"),
}
_HEADLINES = (
    *("accuracy", "macro_f1", "cross_entropy"),
    *("root_mean_squared_error", "mean_absolute_error", "pearson"),
    *("mrr", "hits_at_10", "mean_rank"),
)


def render_page(found: Mapping[str, Any], images: Mapping[str, bytes]) -> str:
    """The page as HTML.

    Args:
        found: what report.json holds, with its dataclasses.
        images: the PNG files by name.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": format_figure,
        "rank": format_rank,
        "interval": format_interval,
        "clip": clip_text,
        "image": lambda name: embed_image(images[name]),
    }
    name = "ranking_report.html" if found["task"] == "ranking" else "report.html"
    template = environment.get_template(name)
    metrics = found["metrics"]
    return template.render(
        found,
        rows=[(METRICS[name], metrics[name]) for name in METRICS if name in metrics],
        headlines=[(METRICS[name], metrics[name]) for name in _HEADLINES if name in metrics],
        used_methods=_list_methods(found),
    )


def _list_methods(found: Mapping[str, Any]) -> dict[str, list[str]]:
    """The figures whose intervals each method computed."""
    used: dict[str, list[str]] = {}
    for name, (title, _) in METRICS.items():
        if name in found["metrics"] and (method := found["metrics"][name].method):
            used.setdefault(method, []).append(title)
    if found["task"] == "classification":
        used.setdefault("Wilson", []).append("precision and recall of a class, calibration")
        used.setdefault("bootstrap", []).append("F1 of a class")
    return used


def format_figure(value: float | None) -> str:
    """A figure for people, with about four digits.

    >>> format_figure(0.68614), format_figure(12345), format_figure(-0.5), format_figure(None)
    ('0.6861', '12,345', '-0.5000', 'n/a')
    """
    if value is None:
        return "n/a"
    if isinstance(value, int):
        return f"{value:,}"
    small, large = 1e-3, 1e5
    is_plain = value == 0 or small <= abs(value) < large
    places = max(0, 4 - len(str(int(abs(value)))) + (abs(value) < 1))
    return f"{value:,.{places}f}" if is_plain else f"{value:.3g}"


def format_rank(rank: float) -> str:
    """A rank, which is half a number where two tie.

    >>> format_rank(1234.0), format_rank(2.5)
    ('1,234', '2.5')
    """
    return f"{rank:,.10g}"


def format_interval(estimate: Estimate) -> str:
    """The interval of an estimate, or why it has no value."""
    if estimate.value is None:
        return f"not defined: {estimate.note}"
    if estimate.low is None:
        return "n/a"
    return f"{format_figure(estimate.low)} to {format_figure(estimate.high)}"


def clip_text(text: str | float) -> str:
    """A text that fits into a table, or a figure."""
    if not isinstance(text, str):
        return format_figure(text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def embed_image(data: bytes) -> Markup:
    """A PNG as an address that holds it."""
    return Markup("data:image/png;base64,") + b64encode(data).decode()
