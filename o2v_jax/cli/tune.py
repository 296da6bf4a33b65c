"""`o2v tune`: a search for hyperparameters, which can be stopped and continued."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from o2v_jax.cli.options import FILE, NEW_FOLDER, SEED, Seconds, model_data_options


@click.command(short_help="Search for the best hyperparameters.")
@click.option("--train", type=FILE, multiple=True, required=True, help="JSON Lines to train on.")
@click.option(
    "--validation",
    type=FILE,
    multiple=True,
    required=True,
    help="Files of the validation channel, to compare trials by.",
)
@click.option(
    "--test", type=FILE, multiple=True, help="Files of the test channel, for test metrics."
)
@click.option(
    "--hyperparameters",
    type=FILE,
    required=True,
    help="JSON map of the hyperparameters that are not searched.",
)
@model_data_options
@click.option("--output", type=NEW_FOLDER, required=True, help="Directory for all results.")
@click.option(
    "--tune",
    multiple=True,
    metavar="NAME[=RANGE]",
    help="A hyperparameter to search, in its documented range, LOW..HIGH or VALUE,VALUE.",
)
@click.option(
    "--objective",
    metavar="CHANNEL:METRIC",
    help="What decides, such as validation:accuracy; default the validation loss.",
)
@click.option("--trials", type=click.IntRange(1), default=20, show_default=True, help="In all.")
@click.option("--timeout", type=Seconds(), metavar="SECONDS", help="When to begin no more trials.")
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
def tune(hyperparameters: Path, on_error: str, **options: Any) -> None:
    """Search for the best hyperparameters; the best trial's model is kept.

    Options for several files and --tune may be repeated. Without --tune these are searched, as far
    as they matter to the other hyperparameters: learning_rate, dropout, enc_dim, mlp_dim,
    mlp_layers, mini_batch_size, weight_decay and optimizer, each in the range that the Object2Vec
    documentation gives for tuning. Learning rate, weight decay, tolerance and sizes are drawn on a
    logarithmic scale; weight_decay may be 0 too.

    OUTPUT holds the best trial's model (model), its hyperparameters for o2v train (best.json), all
    trials as a table and a picture (trials.csv, tuning.png) and the study (study.log). A search
    that was stopped or killed resumes when its command is rerun, with more --trials too,
    and finds what it would have found; the seed decides which values are tried and how each is
    trained, so on one machine a search repeats itself.
    """
    from o2v_jax.data.vocabulary import read_json_object
    from o2v_jax.hyperparameters import Hyperparameters
    from o2v_jax.tuning import Tuning

    base = Hyperparameters.from_strings(read_json_object(hyperparameters))
    command = shlex.join(["o2v", *sys.argv[1:]])
    Tuning(base=base, skip=on_error == "skip", command=command, **options).run()
