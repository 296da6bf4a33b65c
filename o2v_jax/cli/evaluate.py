"""`o2v evaluate`: metrics of a model on labelled records."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from o2v_jax.cli.options import (
    NEW_FOLDER,
    dtype_option,
    input_options,
    model_option,
    resolve_model_path,
)
from o2v_jax.cli.streams import say, write_output
from o2v_jax.constants import DType

if TYPE_CHECKING:
    from o2v_jax.checkpoint import Model
    from o2v_jax.evaluation import Evaluation
    from o2v_jax.training import Dataset

# what training reports too, by the names of its documentation; a report has all others
_PRINTED = ("cross_entropy", "accuracy", "mean_squared_error")


@click.command(short_help="Print metrics of a model on labelled records.")
@model_option
@dtype_option
@input_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--report",
    type=NEW_FOLDER,
    metavar="DIR",
    help="Write a report: a page with all metrics and plots, JSON and PNGs.",
)
def evaluate(
    model_path: Path | None,
    dtype: DType,
    file: Path,
    form: str | None,
    as_json: bool,
    report: Path | None,
) -> None:
    """Print accuracy and cross_entropy, or mean_squared_error, on labelled records.

    JSON Lines hold {"label": y, "in0": [ids], "in1": [ids]} a line; text holds a label and two
    texts, tab-separated, a line. Gzipped files are read as they are.
    """
    from o2v_jax.checkpoint import load
    from o2v_jax.cli.inputs import show_input
    from o2v_jax.evaluation import check_report_target
    from o2v_jax.scoring import use_compilation_cache
    from o2v_jax.training import measure_model

    use_compilation_cache()
    if report:
        check_report_target(report)
    path = resolve_model_path(model_path)
    model = load(path)
    data = _read_data(model, file, form)
    found = _evaluate(model, data, dtype) if report else None
    metrics = found.metrics if found else measure_model(model, data, dtype=dtype)
    with write_output():
        click.echo(_format_metrics(metrics, len(data), as_json=as_json))
    if report and found:
        page = found.write(report, about={"model": str(path), "data": show_input(file)})
        say(f"The report is in {page}")


def _read_data(model: "Model", file: Path, form: str | None) -> "Dataset":
    from o2v_jax.cli.inputs import open_input, read_records
    from o2v_jax.training import collect_dataset

    with open_input(file) as stream:
        chunks = read_records(stream, file, form, model, labelled=True)
        return collect_dataset(chunks, model.config, str(file))


def _evaluate(model: "Model", data: "Dataset", dtype: DType) -> "Evaluation":
    from o2v_jax.evaluation import evaluate as evaluate_model

    return evaluate_model(model, data.in0, data.in1, data.labels, dtype=dtype)


def _format_metrics(metrics: Mapping[str, float | None], records: int, *, as_json: bool) -> str:
    printed = {name: value for name, value in metrics.items() if name in _PRINTED}
    printed["records"] = records
    if as_json:
        return json.dumps(printed)
    return "\n".join(f"{name} {value:g}" for name, value in printed.items())
