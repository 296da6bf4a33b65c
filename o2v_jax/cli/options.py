"""Options that several commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def model_option(function: F) -> F:
    """--model, where a command reads its model from."""
    help_text = (
        "Model directory or model.tar.gz; default $O2V_MODEL, else /opt/ml/model, else the demo."
    )
    return click.option("--model", "model_path", type=click.Path(path_type=Path), help=help_text)(
        function
    )


def input_options(function: F) -> F:
    """FILE and --format, where a command reads its records from."""
    form = click.Choice(["jsonl", "json", "text"])
    help_text = "Form of the input; default by the file's ending (.json, .tsv, .txt), else jsonl."
    function = click.option("--format", "form", type=form, help=help_text)(function)
    return click.argument("file", type=click.Path(path_type=Path), default="-")(function)


def model_path_of(given: Path | None) -> Path:
    """The model that was named, or the default one."""
    from o2v_jax.checkpoint import default_model

    return given or default_model(os.environ)
