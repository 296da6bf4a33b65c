"""`o2v transform --engine ray`: its options, and the engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from o2v_jax.cli.options import Command, add_options
from o2v_jax.cli.transform_options import CONCURRENT
from o2v_jax.constants import DType, Mode

if TYPE_CHECKING:
    from o2v_jax.transform.engines.ray import OnRay


def ray_options(function: Command) -> Command:
    """--engine and what belongs to it."""
    options = (
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Score in this process, or with Ray in several, on one machine or many.",
        ),
        click.option(
            "--ray-address",
            envvar="RAY_ADDRESS",
            help="A Ray cluster, such as auto or host:6379; default $RAY_ADDRESS, else Ray is "
            "started on this machine and ends with the command.",
        ),
        click.option(
            "--ray-workers",
            type=click.IntRange(1),
            help="Processes that score; default one a GPU of the cluster, else one a machine.",
        ),
    )
    return add_options(function, options)


class RayOptions(NamedTuple):
    """What was asked of Ray.

    Attributes:
        address: of a cluster; None: one is started.
        workers: processes that score; None: as many as there are devices.
        concurrent: parts that each has, of which it does one.
    """

    address: str | None
    workers: int | None
    concurrent: int


def take_ray_options(options: dict[str, Any]) -> RayOptions | None:
    """Takes Ray's options out of all, if Ray is the engine.

    Raises:
        click.UsageError: options contradict each other.
    """
    engine, address, workers = (options.pop(n) for n in ("engine", "ray_address", "ray_workers"))
    if engine == "ray":
        if options["endpoints"]:
            raise click.UsageError("--endpoint has servers of its own: leave --engine ray out")
        return RayOptions(address, workers, options["concurrent"] or CONCURRENT)
    source = click.get_current_context().get_parameter_source("ray_address")
    if workers or source is ParameterSource.COMMANDLINE:
        raise click.UsageError("--ray-address and --ray-workers need --engine ray")
    return None


@contextmanager
def open_ray_engine(
    model_path: Path, mode: Mode | None, dtype: DType, asked: RayOptions
) -> Iterator["OnRay"]:
    """The engine, with Ray connected for as long as the block lasts."""
    from o2v_jax.transform.engines.ray_cluster import compute_share, connect, import_ray

    ray = import_ray(alone=asked.address is None)  # before anything that takes long
    from o2v_jax.checkpoint import flatten, hash_model, load
    from o2v_jax.transform.engines.ray import OnRay

    model = load(model_path)
    size = sum(array.nbytes for array in flatten(model.params).values())
    with connect(ray, asked.address, workers=asked.workers, model_bytes=size):
        share = compute_share(ray, asked.workers)
        identity = hash_model(model, dtype)
        yield OnRay(
            ray, model, identity, share, mode=mode, dtype=dtype, concurrent=asked.concurrent
        )
