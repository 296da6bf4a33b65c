"""`o2v warm`: compiles what the server will need, before it starts."""

import time
from pathlib import Path
from typing import get_args

import click

from o2v_jax.cli.options import devices_option, dtype_option, model_option, resolve_model_path
from o2v_jax.cli.streams import write_output
from o2v_jax.constants import DType, Mode


@click.command(short_help="Compile a model's programs into the cache.")
@model_option
@click.option(
    "--mode",
    type=click.Choice(get_args(Mode)),
    envvar="INFERENCE_PREFERRED_MODE",
    help="Leave out what this mode does not need; default $INFERENCE_PREFERRED_MODE, else all.",
)
@dtype_option
@devices_option
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Programs to compile at a time.",
)
def warm(
    model_path: Path | None, mode: Mode | None, dtype: DType, devices: int | None, threads: int
) -> None:
    """Compile every program of a model into the cache, for `o2v serve` to start without a wait.

    The cache is $O2V_CACHE_DIR, else o2v_jax in the user's cache directory. It serves this version
    of JAX on this kind of device; a Dockerfile may call this for its image to start warm.
    """
    from o2v_jax.checkpoint import load
    from o2v_jax.scoring import Scorer, local_devices, use_compilation_cache

    cache = use_compilation_cache()
    began = time.perf_counter()
    model = load(resolve_model_path(model_path))
    programs = 0
    for device in local_devices(devices):
        scorer = Scorer(model, preferred_mode=mode, dtype=dtype, device=device)
        programs += scorer.warm(threads, longer=True)
    with write_output():
        click.echo(f"{programs} programs in {time.perf_counter() - began:.1f} s, kept in {cache}")
