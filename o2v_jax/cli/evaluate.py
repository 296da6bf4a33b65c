"""`o2v evaluate`: metrics of a model on labelled records."""

import json
from pathlib import Path

import click

from o2v_jax.cli.options import dtype_option, input_options, model_option, model_path_of
from o2v_jax.cli.streams import write_output
from o2v_jax.constants import DType


@click.command(short_help="Print metrics of a model on labelled records.")
@model_option
@dtype_option
@input_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(
    model_path: Path | None, dtype: DType, file: Path, form: str | None, as_json: bool
) -> None:
    """Print accuracy and cross_entropy, or mean_squared_error, on labelled records.

    JSON Lines hold {"label": y, "in0": [ids], "in1": [ids]} a line; text holds a label and two
    texts, tab-separated, a line. Gzipped files are read as they are.
    """
    from o2v_jax.checkpoint import load
    from o2v_jax.cli.inputs import open_input, read_records
    from o2v_jax.training.data.dataset import dataset
    from o2v_jax.training.loop.evaluation import evaluate as evaluate_model

    model = load(model_path_of(model_path))
    with open_input(file) as stream:
        chunks = read_records(stream, file, form, model, labelled=True)
        data = dataset(chunks, model.config, str(file))
    metrics = evaluate_model(model, data, dtype=dtype) | {"records": len(data)}
    if as_json:
        text = json.dumps(metrics)
    else:
        text = "\n".join(f"{name} {value:g}" for name, value in metrics.items())
    with write_output():
        click.echo(text)
