"""`o2v tune`: a search for hyperparameters, which can be stopped and continued."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from o2v_jax.cli.objective import make_objective, objective_options
from o2v_jax.cli.options import FILE, FOLDER, NEW_FOLDER, SEED, Seconds, model_data_options
from o2v_jax.cli.training_data import (
    CHANNELS,
    channel_option,
    read_hyperparameters,
    read_training_data,
    require_one_source,
)
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import Similarity


@click.command(short_help="Search for the best hyperparameters.")
@click.option("--data", type=FOLDER, help="Directory that o2v prepare wrote: all of it is used.")
@channel_option("--train", "JSON Lines to train on.")
@channel_option("--validation", "Records of the validation channel, to compare trials by.")
@channel_option("--test", "Records of the test channel, for test metrics.")
@click.option(
    "--hyperparameters",
    type=FILE,
    help="JSON map of the hyperparameters that are not searched; overrules that of --data.",
)
@objective_options
@model_data_options
@click.option("--output", type=NEW_FOLDER, required=True, help="Directory for all results.")
@click.option(
    "--tune",
    multiple=True,
    metavar="NAME[=RANGE]",
    help="A hyperparameter to search, in its documented range, LOW..HIGH or VALUE,VALUE.",
)
@click.option(
    "--objective-metric",
    metavar="CHANNEL:METRIC",
    help="Metric to improve, such as validation:accuracy; default validation's loss, or its mrr.",
)
@click.option(
    "--trials", type=click.IntRange(1), default=20, show_default=True, help="Trials in all."
)
@click.option(
    "--timeout", type=Seconds(), metavar="SECONDS", help="Begin no more trials after this time."
)
@click.option(
    "--pruning/--no-pruning",
    default=True,
    show_default=True,
    help="Give up trials that are behind the median of those before.",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Decides which values are tried, and how each trial is trained.",
)
def tune(
    hyperparameters: Path | None,
    on_error: str,
    objective: str,
    similarity: Similarity | None,
    temperature: float | None,
    correct_popularity: bool,
    negatives_per_pair: int | None,
    **options: Any,
) -> None:
    """Search for the best hyperparameters; the best trial's model is kept.

    Options for several files and --tune may be repeated. Without --tune these are searched, as far
    as they matter to the other hyperparameters: learning_rate, dropout, enc_dim, mlp_dim,
    mlp_layers, mini_batch_size, weight_decay and optimizer, each in the range that the Object2Vec
    documentation gives for tuning. Learning rate, weight decay, tolerance and sizes are drawn on a
    logarithmic scale; weight_decay may be 0 too. Of a model of the in-batch objective, which has no
    comparator, mlp_dim and mlp_layers are not searched.

    OUTPUT holds the best trial's model (model), its hyperparameters for o2v train (best.json), all
    trials as a table and a picture (trials.csv, tuning.png) and the study (study.log). A search
    that was stopped or killed resumes when its command is rerun, with more --trials too,
    and finds what it would have found; the seed decides which values are tried and how each is
    trained, so on one machine a search repeats itself.
    """
    from o2v_jax.hyperparameters import Hyperparameters, warn_of_unused
    from o2v_jax.tuning import Tuning

    require_one_source(options)
    _require_data(options, hyperparameters)
    channels = {name: options.pop(name) for name in CHANNELS}
    given = read_hyperparameters(hyperparameters)
    data = read_training_data(options.pop("data"), channels, given, options.pop("vocabulary"))
    if not data["validation"]:
        raise InputError("a search needs records of the validation channel, to compare trials by")
    chosen = make_objective(
        objective, similarity, temperature, correct_popularity, negatives_per_pair
    )
    warn_of_unused(given, chosen)
    base = Hyperparameters.from_strings(data.pop("hyperparameters"), chosen)
    command = shlex.join(["o2v", *sys.argv[1:]])
    Tuning(base=base, skip=on_error == "skip", command=command, **data, **options).run()


def _require_data(options: Mapping[str, Any], hyperparameters: Path | None) -> None:
    if options["data"]:
        return
    given = {**options, "hyperparameters": hyperparameters}
    for name in ("train", "validation", "hyperparameters"):
        if not given[name]:
            raise click.UsageError(f"Missing option '--{name}', or --data instead.")
