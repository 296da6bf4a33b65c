"""What the worker process does before it serves: it alone brings JAX and Flask."""

import logging
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from o2v_jax.errors import O2VError
from serving.cores import OnOneCore
from serving.settings import Settings

_LONGEST_REASON = 10_000  # characters: surely fits into a pipe that nobody reads yet

log = logging.getLogger(__name__)


def load(path: Path, settings: Settings, url: str, reasons: Connection) -> Callable[..., Any]:
    """Makes the app; an error that a person can mend goes to the parent process, which tells it.

    Args:
        path: of the model.
        settings: of the server.
        url: where the server listens, for the log.
        reasons: where the parent hears why there will be no server.

    Raises:
        SystemExit: the app cannot be made.
    """
    # Ctrl-C reaches every process of a terminal. The parent passes it on as SIGTERM, and Granian's
    # worker hangs when it is told to stop twice.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    log_to_stderr()
    try:
        from serving.app import create_app  # noqa: PLC0415 - brings JAX and Flask

        app = create_app(path, settings=settings)
        threads = app.extensions["o2v_jax"].batcher.threads
        if len(threads) == 1:  # those of several devices copy at the same time
            app.wsgi_app = OnOneCore(app.wsgi_app, threads)  # type: ignore[method-assign]
    except O2VError as error:
        reasons.send(str(error)[:_LONGEST_REASON])
        sys.exit(1)
    log.info("serving %s at %s", path, url)
    return app


def log_to_stderr() -> None:
    """Has this process's log lines written to standard error."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("jax").setLevel(logging.WARNING)  # it tells of devices that are not there
