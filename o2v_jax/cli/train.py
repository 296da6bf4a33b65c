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
@click.option("--train", type=EXISTING, required=True, help="Labelled JSON Lines to train on.")
@click.option("--validation", type=EXISTING, help="Labelled JSON Lines for early stopping.")
@click.option("--test", type=EXISTING, help="Labelled JSON Lines for the final metrics.")
@click.option("--hyperparameters", type=EXISTING, help="JSON map of Object2Vec hyperparameters.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="One hyperparameter.")
@click.option("--vocabulary", type=EXISTING, help="JSON map token -> id, kept with the model.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Model directory.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def train(**options: Any) -> None:
    """Train a model and write it to a directory; the best epoch's parameters are kept."""
    from o2v_jax.training.job import Job

    config = _configuration(options.pop("hyperparameters"), options.pop("settings"))
    command = shlex.join(["o2v", *sys.argv[1:]])
    Job(config=config, command=command, **options).run()


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
