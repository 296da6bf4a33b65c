"""Connects to a Ray cluster: one that exists, or one that is started here for this process."""

import io
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from o2v_jax.errors import InputError
from o2v_jax.extras import require_extra

log = logging.getLogger("o2v_jax")

STORE_BYTES = 2**29  # of objects in memory, beside the model; more goes to the disk
_CONNECT_S = 10.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Share(NamedTuple):
    """What each worker of a cluster gets.

    Attributes:
        workers: how many there are.
        cpus: of each.
        gpus: of each.
    """

    workers: int
    cpus: float
    gpus: int


def import_ray(*, alone: bool) -> ModuleType:
    """Imports the module ray.

    Args:
        alone: whether Ray will be started on this machine, and for it alone.

    Raises:
        MissingExtraError: it is not installed.
        InputError: its import fails.
    """
    require_extra("ray", "--engine ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of parts that nobody waits for
    if alone:
        # in spite of its name this decides on Linux too whether Ray uses 127.0.0.1 or every address
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        return import_module("ray")
    except ImportError as error:
        raise InputError(f"--engine ray: Ray cannot be imported: {error}") from error


@contextmanager
def connect(
    ray: ModuleType, address: str | None, *, workers: int | None, model_bytes: int
) -> Iterator[None]:
    """Connects to Ray for the length of the block; what Ray prints is logged.

    Args:
        ray: `import_ray`.
        address: of a cluster, as `ray.init` has it; None: one is started on this machine, which
            listens on 127.0.0.1 alone and ends with the block, or with this process.
        workers: that are wanted.
        model_bytes: that the object store must hold.

    Raises:
        InputError: nothing answers at the address.
    """
    options: dict[str, Any] = {"address": address}
    if address is None:
        size = STORE_BYTES + model_bytes
        options = {"address": "local", "include_dashboard": False, "num_cpus": workers or 1}
        options["object_store_memory"] = size
    else:
        _require_listener(address)
    with redirect_stdout(_LogStream()):  # where Ray writes what its cluster has to say
        try:
            _initialize(ray, options)
            yield
        finally:
            ray.shutdown()


def _initialize(ray: ModuleType, options: dict[str, Any]) -> None:
    try:
        with _keep_handlers():
            ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"cannot connect to Ray at {options['address']}: {reason}") from error


def compute_share(ray: ModuleType, workers: int | None) -> Share:
    """Divides a cluster: a worker a GPU; without GPUs a worker a node, with all its CPUs.

    Args:
        ray: connected.
        workers: how many there should be instead.

    Raises:
        InputError: there are fewer GPUs.
    """
    total = ray.cluster_resources()
    cpus = total.get("CPU", 0.0)
    gpus = int(total.get("GPU", 0))
    if gpus and os.environ.get("JAX_PLATFORMS") != "cpu":
        if workers and workers > gpus:
            raise InputError(f"--ray-workers {workers}: the cluster has {gpus} GPUs, one a worker")
        count = workers or gpus
        return Share(count, min(1.0, cpus / count), 1)
    nodes = sum(node["Alive"] and "CPU" in node["Resources"] for node in ray.nodes())
    count = workers or nodes or 1
    # a cluster that grows when it is asked for something may have nothing yet
    return Share(count, cpus // count or cpus / count or 1.0, 0)


def _require_listener(address: str) -> None:
    """Refuses an address where nobody listens, for which Ray itself takes minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"--ray-address {address}: nothing answers there ({error})") from error


@contextmanager
def _keep_handlers() -> Iterator[None]:
    """Keeps the handlers of signals, which Ray replaces."""
    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGINT) if main else ()
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _LogStream(io.TextIOBase):
    """A standard output for Ray: the first sentence of what it writes is logged."""

    def write(self, text: str) -> int:
        said = _COLOURS.sub("", text).strip()
        if said:
            log.info("Ray: %s", said.partition(") ")[2].partition(". ")[0] or said)
        return len(text)
