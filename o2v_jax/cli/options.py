"""Options that several commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from o2v_jax.errors import InputError

DEFAULT_MODEL = Path("checkpoints/snli-hcnn")

F = TypeVar("F", bound=Callable[..., Any])


def model_option(function: F) -> F:
    """--model, where a command reads its model from."""
    help_text = "Model directory or model.tar.gz; default $O2V_MODEL, else checkpoints/snli-hcnn."
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
    """The model that was named, or the one that the environment or this folder offers."""
    path = given or Path(os.environ.get("O2V_MODEL") or DEFAULT_MODEL)
    if given is None and "O2V_MODEL" not in os.environ and not path.exists():
        raise InputError(f"no model: give --model, set O2V_MODEL, or run where {path} is")
    return path
