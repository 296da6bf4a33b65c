"""`o2v train`: JSON Lines and hyperparameters in, a model directory out."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from o2v_jax.cli.hyperparameters import HyperparameterCommand
from o2v_jax.cli.options import FILE, NEW_FOLDER, SEED, Seconds, model_data_options
from o2v_jax.interruption import Signals

if TYPE_CHECKING:
    from o2v_jax.hyperparameters import Hyperparameters


@click.command(cls=HyperparameterCommand)
@click.option("--train", type=FILE, multiple=True, help="Labelled JSON Lines to train on.")
@click.option("--validation", type=FILE, multiple=True, help="The same, for early stopping.")
@click.option("--test", type=FILE, multiple=True, help="The same, for the final metrics.")
@click.option("--hyperparameters", type=FILE, help="JSON map of hyperparameters; see below.")
@model_data_options
@click.option("--output", type=NEW_FOLDER, help="Model directory to write.")
@click.option("--checkpoints", type=NEW_FOLDER, help="State to resume; default OUTPUT.checkpoints.")
@click.option("--report", type=NEW_FOLDER, help="Tables and plots; default OUTPUT.report.")
@click.option(
    "--checkpoint-interval",
    type=Seconds(),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Time between two savings of the state.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on where an interrupted run of the same command was, or begin anew.",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Decides initial values, order and dropout.",
)
@click.option("--sagemaker", is_flag=True, help="Read and write SageMaker's container layout.")
@click.option(
    "--prefix",
    type=click.Path(path_type=Path),
    default="/opt/ml",
    show_default=True,
    help="Where that layout is.",
)
def train(
    sagemaker: bool,
    prefix: Path,
    seed: int,
    on_error: str,
    cache: Path | None,
    checkpoint_interval: float,
    resume: bool,
    settings: dict[str, str],
    **layout: Any,
) -> None:
    """Train a model and write it to a directory; the best epoch's parameters are kept.

    Options for several files may be repeated. A hyperparameter's own option overrules the map of
    --hyperparameters. An interrupted run goes on when its command is given again. With
    --sagemaker, hyperparameters and channels come from PREFIX/input, the model goes to
    PREFIX/model and a failure's reason to PREFIX/output.
    """
    common = {
        "seed": seed,
        "skip": on_error == "skip",
        "cache": cache,
        "checkpoint_interval": checkpoint_interval,
        "resume": resume,
        "command": shlex.join(["o2v", *sys.argv[1:]]),
    }
    # before anything heavy is imported: a container's first process has no other way to be stopped
    with Signals().caught() as signals:
        _dispatch(sagemaker, prefix, layout, settings, common | {"signals": signals})


def _dispatch(
    sagemaker: bool,
    prefix: Path,
    layout: dict[str, Any],
    settings: dict[str, str],
    common: dict[str, Any],
) -> None:
    given = [name for name, value in (layout | settings).items() if value not in (None, ())]
    # from the environment it is the container's default, which options given by hand overrule
    if sagemaker and not (given and _source("sagemaker") is ParameterSource.ENVIRONMENT):
        _refuse(given)
        _train_in_container(prefix, common)
    else:
        _require(layout, sagemaker=sagemaker)
        _train_from_files(layout, settings, common)


def _train_in_container(prefix: Path, common: Mapping[str, Any]) -> None:
    from o2v_jax.scoring import use_compilation_cache
    from o2v_jax.training import container_job, failure_reported

    use_compilation_cache()
    with failure_reported(prefix):
        container_job(prefix, **common).run()


def _train_from_files(
    layout: Mapping[str, Any], settings: Mapping[str, str], common: Mapping[str, Any]
) -> None:
    from o2v_jax.scoring import use_compilation_cache
    from o2v_jax.training import Job

    use_compilation_cache()
    paths = dict(layout)
    config = _configuration(paths.pop("hyperparameters"), settings)
    Job(config=config, **paths, **common).run()


def _source(name: str) -> ParameterSource | None:
    """Where an option's value comes from."""
    return click.get_current_context().get_parameter_source(name)


def _refuse(names: list[str]) -> None:
    if names:
        listed = ", ".join(f"--{name}" for name in names)
        raise click.UsageError(f"{listed} cannot stand beside --sagemaker, which reads the layout")


def _require(layout: Mapping[str, Any], *, sagemaker: bool) -> None:
    if not sagemaker and _source("prefix") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--prefix says where --sagemaker finds its layout: give both")
    if not (layout["train"] and layout["output"]):
        raise click.UsageError("train needs --train and --output, or --sagemaker")


def _configuration(file: Path | None, settings: Mapping[str, str]) -> "Hyperparameters":
    from o2v_jax.hyperparameters import Hyperparameters
    from o2v_jax.vocabulary import read_json_object

    values = read_json_object(file) if file else {}
    return Hyperparameters.from_strings({**values, **settings})
