"""`o2v train`: JSON Lines and hyperparameters in, a model directory out."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from o2v_jax.hyperparameters import Hyperparameters

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--train", type=EXISTING, multiple=True, help="Labelled JSON Lines to train on.")
@click.option("--validation", type=EXISTING, multiple=True, help="The same, for early stopping.")
@click.option("--test", type=EXISTING, multiple=True, help="The same, for the final metrics.")
@click.option("--hyperparameters", type=EXISTING, help="JSON map of Object2Vec hyperparameters.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="One hyperparameter.")
@click.option("--vocabulary", type=EXISTING, help="JSON map token -> id, kept with the model.")
@click.option("--output", type=click.Path(path_type=Path), help="Model directory to write.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--sagemaker", is_flag=True, help="Read and write SageMaker's container layout.")
@click.option(
    "--prefix",
    type=click.Path(path_type=Path),
    default="/opt/ml",
    show_default=True,
    help="Where that layout is.",
)
def train(sagemaker: bool, prefix: Path, seed: int, **options: Any) -> None:
    """Train a model and write it to a directory; the best epoch's parameters are kept.

    Options for several files may be repeated. With --sagemaker, hyperparameters and channels come
    from PREFIX/input, the model goes to PREFIX/model and a failure's reason to PREFIX/output.
    """
    from o2v_jax.training import Job, container_job, failure_reported

    common: dict[str, Any] = {"seed": seed, "command": shlex.join(["o2v", *sys.argv[1:]])}
    given = [name for name, value in options.items() if value]
    if sagemaker and not (given and _from_environment()):
        _refuse(given)
        with failure_reported(prefix):
            container_job(prefix, **common).run()
        return
    if not (options["train"] and options["output"]):
        raise click.UsageError("train needs --train and --output, or --sagemaker")
    config = _configuration(options.pop("hyperparameters"), options.pop("settings"))
    Job(config=config, **options, **common).run()


def _from_environment() -> bool:
    """Whether --sagemaker is only the container's default, which options given by hand overrule."""
    source = click.get_current_context().get_parameter_source("sagemaker")
    return source is click.core.ParameterSource.ENVIRONMENT


def _refuse(names: list[str]) -> None:
    if names:
        listed = ", ".join("--set" if name == "settings" else f"--{name}" for name in names)
        raise click.UsageError(f"{listed} cannot stand beside --sagemaker, which reads the layout")


def _configuration(file: Path | None, settings: tuple[str, ...]) -> "Hyperparameters":
    from o2v_jax.hyperparameters import Hyperparameters
    from o2v_jax.vocabulary import read_json_object

    values = read_json_object(file) if file else {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--set {setting}: must be NAME=VALUE, such as epochs=5")
        values[name.strip()] = value
    return Hyperparameters.from_strings(values)
