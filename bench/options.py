"""The options that every benchmark has."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from o2v_jax import use_compilation_cache

Command = Callable[..., Any]


def add_common(command: Command) -> Command:
    """Adds --quick, --device and --json."""
    for option in (
        click.option("--json", "file", type=click.Path(path_type=Path), help="Write results here."),
        click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu"),
        click.option("--quick", is_flag=True, help="Fewer, smaller and shorter measurements."),
    ):
        command = option(command)
    return command


def use(device: str) -> None:
    """Has JAX, here and in servers that are started, work on this device."""
    os.environ.setdefault("JAX_PLATFORMS", get_platform(device))
    use_compilation_cache()


def get_platform(device: str) -> str:
    """JAX's name of it."""
    return "cpu" if device == "cpu" else "cuda"
