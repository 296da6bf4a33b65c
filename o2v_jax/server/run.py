"""Runs the server under Granian. The parent process imports no JAX: it only forks.

SIGTERM closes the listening socket at once. While requests in flight end, whoever wants to ask
/ping is refused a connection rather than answered 503, and connections kept alive are closed.
"""

import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from o2v_jax.extras import require_extra

require_extra("serve", __name__)

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.log import logger as granian_log
from granian.server.common import AbstractServer

from o2v_jax.checkpoint import find_model, is_archive
from o2v_jax.constants import STALL_S, DType
from o2v_jax.errors import CheckpointError, InputError, O2VError
from o2v_jax.server.settings import ServerSettings
from o2v_jax.server.sockets import allow_connections, reset_stalled
from o2v_jax.util import require_local

_LONGEST_REASON = 10_000  # characters: surely fits into a pipe that nobody reads yet


def load(
    path: Path, settings: ServerSettings, url: str, stall_s: float, reasons: Connection
) -> Callable[..., Any]:
    """Creates the application; an error that a user can fix goes to the parent, which shows it.

    Args:
        path: of the model.
        settings: of the server.
        url: where the server listens.
        stall_s: seconds after which a client that neither sends nor receives is disconnected.
        reasons: where the parent receives the reason why there will be no server.

    Raises:
        SystemExit: the application cannot be created.
    """
    # Ctrl-C reaches every process of a terminal. The parent passes it on as SIGTERM, and Granian's
    # worker hangs when it is stopped twice.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    log_to_stderr()
    try:
        from o2v_jax.server.asgi import Application  # noqa: PLC0415
        from o2v_jax.server.loading import create_service  # noqa: PLC0415 - imports JAX

        application = Application(create_service(path, settings=settings), stall_s)
        gc.freeze()  # what was imported stays: looking through it takes 0.1 s, in which all wait
    except O2VError as error:
        reasons.send(str(error)[:_LONGEST_REASON])
        sys.exit(1)
    reset_stalled(urlsplit(url).port or 0, stall_s)
    log.info(
        "serving %s at %s", path if not settings.index else f"{path} and {settings.index}", url
    )
    return application


def log_to_stderr() -> None:
    """Writes this process's log to standard error."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("jax").setLevel(logging.WARNING)  # it logs devices that are not there


# Well above all limits, so that /ping is accepted whatever else is connected; fewer where the
# process may not open so many files.
CONNECTIONS = 4096
IDLE_S = 10  # to send a request's headers, and between two requests of one connection
# SageMaker kills 30 s after SIGTERM: requests that are still open then are given up before.
DRAIN_S = 25

log = logging.getLogger(__name__)


def serve(
    model: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    drain_s: int = DRAIN_S,
    stall_s: float = STALL_S,
    dtype: DType | None = None,
    devices: int | None = None,
    index: str | Path | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what is in flight; returns once stopped.

    Args:
        model: directory or archive of a model; None: the one that the environment names.
        host: address to listen on; in a container 0.0.0.0.
        port: None: the one that the environment names, else 8080.
        drain_s: seconds that in-flight requests get to finish, e.g. uploads that stall.
        stall_s: seconds after which a client that neither sends nor receives is disconnected.
        dtype: of the encoders; None: that of the environment.
        devices: how many to serve on; None: as the environment has it, else all.
        index: directory of an index of the model, to search; None: the one that the environment
            names, if it does.

    Raises:
        InputError: a setting cannot be used, the port is taken, or there is no model or index that
            can be loaded.
        SystemExit: the worker died.
    """
    settings = ServerSettings.from_environment(os.environ)
    settings = replace(
        settings,
        dtype=dtype or settings.dtype,
        devices=devices or settings.devices,
        index=Path(index) if index else settings.index,
    )
    path = Path(model) if model else settings.model_path
    port = settings.port if port is None else port
    _require_model(path)
    _require_free(host, port)
    log_to_stderr()
    with _open_reasons() as reasons:
        loader = partial(load, path, settings, _format_url(host, port), stall_s, reasons)
        server = _make_server(host, port, drain_s)
        server.serve(target_loader=loader, wrap_loader=False)
    log.info("stopped")


def _make_server(host: str, port: int, drain_s: int) -> AbstractServer[Any]:
    return Granian(
        "o2v_jax.server.asgi:Application",
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        workers=1,  # one owner of the devices
        backpressure=allow_connections(CONNECTIONS),
        http1_settings=HTTP1Settings(header_read_timeout=IDLE_S * 1000),
        workers_kill_timeout=drain_s,
        log_level=LogLevels.error,  # our own lines say the rest, with the model
    )


@contextmanager
def _open_reasons() -> Iterator[Connection]:
    """A pipe for the reason why the worker ends, raised here instead of Granian's error."""
    receiver, sender = Pipe(duplex=False)

    def is_news(_: logging.LogRecord) -> bool:
        return not receiver.poll()

    granian_log.addFilter(is_news)
    try:
        yield sender
    except SystemExit:
        if receiver.poll():
            raise InputError(receiver.recv()) from None
        raise
    finally:
        granian_log.removeFilter(is_news)


def _require_model(path: Path) -> None:
    """Refuses what is plainly not a model without starting a worker, which takes seconds."""
    require_local(path)
    try:
        if not path.exists():
            raise InputError(f"{path} does not exist: name a model directory or a .tar.gz of one")
        if path.is_dir():
            find_model(path)
        elif not (path.is_file() and is_archive(path)):
            raise InputError(f"{path} is neither a model directory nor a .tar.gz of one")
    except CheckpointError as error:
        raise InputError(f"{path} {error.problems[0]}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _require_free(host: str, port: int) -> None:
    """Refuses a port that is in use: Granian would share it, and a second server go unnoticed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot listen on {host} port {port}: {error}") from error


def _format_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
