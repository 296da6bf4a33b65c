"""Options that several commands share."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from o2v_jax.constants import DType
from o2v_jax.errors import InputError
from o2v_jax.util import require_local

Command = TypeVar("Command", bound=Callable[..., Any])
SEED = click.IntRange(0, 2**63 - 1)  # what JAX takes for a seed


class LocalPath(click.Path):
    """A path on this machine, which a URL such as s3://bucket/out is not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(path_type=Path, **kwargs)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        if value == "":
            self.fail("a path must not be empty", param, ctx)
        try:
            require_local(value)
        except InputError as error:
            self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


PATH = LocalPath()
FILE = LocalPath(exists=True, dir_okay=False)
FOLDER = LocalPath(exists=True, file_okay=False)
NEW_FOLDER = LocalPath(file_okay=False)

if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:  # where click is older, it is not generic
    _Choice = click.Choice


class Seconds(click.FloatRange):
    """A time, which "nan" is not, though it is in no order with any limit."""

    def __init__(self) -> None:
        super().__init__(0)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number of seconds."""
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value} is not a number of seconds", param, ctx)
        return seconds


class Trimmed(_Choice):
    """A choice that may have blanks around it, as environment variables get them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The choice."""
        return super().convert(value.strip(), param, ctx)


def model_data_options(function: Command) -> Command:
    """What belongs to the data that models are trained on, however they are trained."""
    options = (
        click.option(
            "--auxiliary", type=FOLDER, help="Where pretrained vectors and vocab_files are."
        ),
        click.option("--vocabulary", type=FILE, help="JSON map token -> id, or a tokenizer.json."),
        click.option(
            "--on-error",
            type=click.Choice(["fail", "skip"]),
            default="fail",
            show_default=True,
            help="What to do with a bad record; skipped ones are counted and listed.",
        ),
        click.option(
            "--cache", type=NEW_FOLDER, help="Where parsed data are kept; default the user's cache."
        ),
    )
    return add_options(function, options)


def add_options(function: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    """Decorates a command's function with several options; --help shows them in this order."""
    for option in reversed(options):
        function = option(function)
    return function


def model_option(function: Command) -> Command:
    """--model, where a command reads its model from."""
    help_text = (
        "Model directory or model.tar.gz; default $O2V_MODEL, else /opt/ml/model, else the "
        "demonstration model of a checkout."
    )
    return click.option("--model", "model_path", type=PATH, help=help_text)(function)


def dtype_option(function: Command) -> Command:
    """--dtype, where a command computes with a model."""
    return click.option(
        "--dtype",
        type=Trimmed(get_args(DType)),
        envvar="O2V_DTYPE",
        default="float32",
        show_default=True,
        show_envvar=True,
        help="Sets the dtype of the encoders and of their products.",
    )(function)


def devices_option(function: Command) -> Command:
    """--devices, where a command holds a model on each of them."""
    return click.option(
        "--devices",
        type=click.IntRange(1),
        envvar="O2V_DEVICES",
        show_envvar=True,
        metavar="N",
        help="Number of devices, each with a copy of the model; default all.",
    )(function)


def input_options(function: Command) -> Command:
    """FILE and --format, where a command reads its records from."""
    form = click.Choice(["jsonl", "json", "text"])
    help_text = "Form of the input; default by the file's ending (.json, .tsv, .txt), else jsonl."
    function = click.option("--format", "form", type=form, help=help_text)(function)
    return click.argument("file", type=PATH, default="-")(function)


def resolve_model_path(given: Path | None) -> Path:
    """The model that was named, or the default one."""
    from o2v_jax.checkpoint import default_model

    return given or default_model(os.environ)
