"""What the worker process does before it serves: it alone brings JAX and Flask."""

import gc
import logging
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from o2v_jax.errors import O2VError
from o2v_jax.server.settings import Settings
from o2v_jax.server.sockets import end_stalled

_LONGEST_REASON = 10_000  # characters: surely fits into a pipe that nobody reads yet


def load(
    path: Path, settings: Settings, url: str, stall_s: float, reasons: Connection
) -> Callable[..., Any]:
    """Makes the app; an error that a person can mend goes to the parent process, which tells it.

    Args:
        path: of the model.
        settings: of the server.
        url: where the server listens.
        stall_s: seconds after which a client that neither sends nor takes a byte is let go.
        reasons: where the parent hears why there will be no server.

    Raises:
        SystemExit: the app cannot be made.
    """
    # Ctrl-C reaches every process of a terminal. The parent passes it on as SIGTERM, and Granian's
    # worker hangs when it is told to stop twice.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    log_to_stderr()
    try:
        from o2v_jax.server.asgi import Front  # noqa: PLC0415
        from serving.app import create_app  # noqa: PLC0415 - brings JAX and Flask

        app = create_app(path, settings=settings)
        front = Front(app, app.extensions["o2v_jax"], stall_s)
        gc.freeze()  # what was imported stays: looking through it takes 0.1 s, in which all wait
    except O2VError as error:
        reasons.send(str(error)[:_LONGEST_REASON])
        sys.exit(1)
    end_stalled(urlsplit(url).port or 0, stall_s)
    log.info("serving %s at %s", path, url)
    return front


def log_to_stderr() -> None:
    """Has this process's log lines written to standard error."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("jax").setLevel(logging.WARNING)  # it tells of devices that are not there
