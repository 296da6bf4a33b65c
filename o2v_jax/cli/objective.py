"""What `o2v train` minimises: the loss on labelled pairs, or the in-batch softmax."""

from typing import Any, get_args

import click

from o2v_jax.cli.options import Command, add_options
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import InBatchObjective, Similarity

OBJECTIVES = ("pairs", "in_batch")


def objective_options(function: Command) -> Command:
    """--objective and what it takes; they are not among Object2Vec's hyperparameters."""
    options = (
        click.option(
            "--objective",
            type=click.Choice(OBJECTIVES),
            default="pairs",
            show_default=True,
            help="Learn the labels of pairs, or to find the in1 of an in0 among those of a batch.",
        ),
        click.option(
            "--similarity",
            type=click.Choice(get_args(Similarity)),
            help="Of two encodings, for in_batch; default cosine.",
        ),
        click.option(
            "--temperature",
            type=float,
            metavar="NUMBER",
            help="Divides the similarities, for in_batch; default 0.05.",
        ),
        click.option(
            "--correct-popularity",
            is_flag=True,
            help="Correct for frequent objects being negatives more often, for in_batch.",
        ),
        click.option(
            "--negatives-per-pair",
            type=int,
            metavar="N",
            help="Hard negatives of a pair in a batch, at most, for in_batch; default 4.",
        ),
    )
    return add_options(function, options)


def make_objective(
    objective: str,
    similarity: Similarity | None,
    temperature: float | None,
    correct_popularity: bool,
    negatives_per_pair: int | None,
) -> InBatchObjective | None:
    """The objective that the options describe; None for labelled pairs.

    Raises:
        click.UsageError: options of in_batch are given without it, or a value is out of range.
    """
    options = {
        "similarity": similarity,
        "temperature": temperature,
        "correct_popularity": correct_popularity or None,
        "negatives_per_pair": negatives_per_pair,
    }
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if objective == "in_batch":
        try:
            return InBatchObjective(**given)
        except InputError as error:
            raise click.UsageError(f"--{error}") from error
    if given:
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"{listed}: only with --objective in_batch")
    return None
