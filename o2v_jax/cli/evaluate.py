"""`o2v evaluate`: metrics of a model on labelled records."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from o2v_jax.cli.options import (
    FILE,
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
    from o2v_jax.cli.ranking import RankingSource
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
@click.option(
    "--ranking",
    is_flag=True,
    help="Rank every distinct in0 among all in1, and print where those that belong to it come.",
)
@click.option(
    "--candidates",
    type=FILE,
    help="With --ranking: the in1 to rank, instead of those of the records.",
)
@click.option(
    "--known",
    type=FILE,
    help="With --ranking: pairs to leave out, such as those trained on, whatever their labels.",
)
@click.option(
    "--query-side",
    type=click.Choice(["in0", "in1"]),
    help="With --ranking: which side asks; the other is ranked. Default: in0.",
)
@click.option(
    "--class-index",
    type=click.IntRange(0),
    metavar="N",
    help="With --ranking: the class whose probability ranks; needed if there are more than two.",
)
def evaluate(
    model_path: Path | None,
    dtype: DType,
    file: Path,
    form: str | None,
    as_json: bool,
    report: Path | None,
    ranking: bool,
    **of_ranking: Any,
) -> None:
    """Print accuracy and cross_entropy, or mean_squared_error, on labelled records.

    JSON Lines hold {"label": y, "in0": [ids], "in1": [ids]} a line; text holds a label and two
    texts, tab-separated, a line. Gzipped files are read as they are.

    With --ranking, print mrr, hits, recall, ndcg and mean_rank instead. Then labels may be left
    out: all pairs belong together. A label above 0, or of the class that ranks, says so of one.
    """
    from o2v_jax.checkpoint import load
    from o2v_jax.cli.inputs import show_input
    from o2v_jax.evaluation import check_report_target
    from o2v_jax.scoring import use_compilation_cache

    _check_options(of_ranking, ranking=ranking)
    use_compilation_cache()
    if report:
        check_report_target(report)
    path = resolve_model_path(model_path)
    model = load(path)
    about = {"model": str(path), "data": show_input(file)}
    if ranking:
        _print_ranking(model, _make_source(file, form, of_ranking), dtype, report, about, as_json)
    else:
        _print_metrics(model, (file, form), dtype, report, about, as_json)


def _check_options(of_ranking: Mapping[str, Any], *, ranking: bool) -> None:
    given = [name for name, value in of_ranking.items() if value is not None]
    if given and not ranking:
        option = "--" + given[0].replace("_", "-")
        raise click.UsageError(f"{option} says what is ranked: give --ranking too")


def _make_source(file: Path, form: str | None, of_ranking: Mapping[str, Any]) -> "RankingSource":
    from o2v_jax.cli.ranking import RankingSource

    query_side: Literal[0, 1] = 1 if of_ranking["query_side"] == "in1" else 0
    return RankingSource(file, form, **{**of_ranking, "query_side": query_side})


def _print_ranking(
    model: "Model",
    source: "RankingSource",
    dtype: DType,
    report: Path | None,
    about: dict[str, str],
    as_json: bool,
) -> None:
    from o2v_jax.cli.ranking import format_ranking, rank_records

    found = rank_records(model, source, dtype)
    with write_output():
        click.echo(format_ranking(found, as_json=as_json))
    if report:
        files = {"candidates": source.candidates, "known pairs": source.known}
        about |= {name: str(given) for name, given in files.items() if given}
        say(f"The report is in {found.write(report, about=about)}")


def _print_metrics(
    model: "Model",
    source: tuple[Path, str | None],
    dtype: DType,
    report: Path | None,
    about: dict[str, str],
    as_json: bool,
) -> None:
    from o2v_jax.data.labels import require_labelled_outputs
    from o2v_jax.training import measure_model

    require_labelled_outputs(model.config)
    data = _read_data(model, *source)
    found = _evaluate(model, data, dtype) if report else None
    metrics = found.metrics if found else measure_model(model, data, dtype=dtype)
    with write_output():
        click.echo(_format_metrics(metrics, len(data), as_json=as_json))
    if report and found:
        say(f"The report is in {found.write(report, about=about)}")


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
