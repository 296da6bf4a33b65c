"""Runs the app under Granian. The parent process imports neither JAX nor Flask: it only forks."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from o2v_jax.errors import InputError, O2VError
from serving.settings import Settings

# A request holds a thread while its body arrives, so stalled uploads use threads up, one each.
# Threads start on demand, end when idle, and mostly wait; requests beyond them queue.
THREADS = 256
# SageMaker kills 30 s after SIGTERM: requests that are still open then are given up before.
DRAIN_S = 25

log = logging.getLogger(__name__)


def serve(
    model: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    drain_s: int = DRAIN_S,
) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what is in flight; returns once stopped.

    Stopping closes the listening socket at once, so that new connections are refused.

    Args:
        model: directory or archive of a model; None: the one that the environment names.
        host: address to listen on; in a container 0.0.0.0.
        port: None: the one that the environment names, else 8080.
        drain_s: seconds that requests in flight get to end, e.g. uploads that stall.

    Raises:
        InputError: a setting cannot be used, the port is taken, or there is no model.
        SystemExit: the worker could not start, or died.
    """
    settings = Settings.from_environment(os.environ)
    path = Path(model) if model else settings.model_path
    port = settings.port if port is None else port
    _require_free(host, port)
    _log_to_stderr()
    log.info("serving %s at http://%s:%d", path, host, port)
    server = Granian(
        "serving.app:create_app",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=1,  # one owner of the device
        blocking_threads=THREADS,
        backpressure=THREADS,
        workers_kill_timeout=drain_s,
        log_level=LogLevels.error,  # the lines above and below say the rest, with the model
    )
    server.serve(target_loader=partial(_load, path, settings), wrap_loader=False)
    log.info("stopped")


def _require_free(host: str, port: int) -> None:
    """Granian shares a port with whoever listens there, so that a second server goes unnoticed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot listen on {host} port {port}: {error}") from error


def _load(path: Path, settings: Settings) -> Callable[..., Any]:
    """Makes the app in the worker process; an error that a person can mend is one line."""
    # Ctrl-C reaches every process of a terminal. The parent passes it on as SIGTERM, and Granian's
    # worker hangs when it is told to stop twice.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    _log_to_stderr()
    try:
        from serving.app import create_app  # noqa: PLC0415 - brings JAX and Flask

        return create_app(path, settings=settings)
    except O2VError as error:
        sys.exit(f"o2v: {error}")


def _log_to_stderr() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("jax").setLevel(logging.WARNING)  # it tells of devices that are not there
