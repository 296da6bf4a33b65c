"""The server's threads that run Python, on one core of the machine.

Only one thread at a time runs Python. If its lock goes from core to core, each time waking one that
sleeps, it is free most of the time that requests wait for it: kept to one core, the same threads
answer up to a half more requests of one pair on two cores of a virtual machine, and large ones
faster too. XLA computes in threads of its own, on every core. The core is drawn, so that servers
beside each other seldom share one. Where the system forbids it, threads stay where they are.
"""

import os
import random
from collections.abc import Iterable
from contextlib import suppress
from threading import Thread, get_native_id, local
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class OnOneCore:
    """A WSGI application whose threads, and some others, are kept to one core where Linux runs.

    What these threads start is kept there too: this is for servers that start theirs elsewhere.

    Args:
        app: what answers.
        threads: the others, started already.
    """

    def __init__(self, app: "WSGIApplication", threads: Iterable[Thread]) -> None:
        self._app, self._here = app, local()
        self._core = _core()
        for thread in threads:
            if thread.native_id:
                self._keep(thread.native_id)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """As the application does."""
        if not hasattr(self._here, "kept"):
            self._here.kept = True
            self._keep(get_native_id())
        return self._app(environ, start_response)

    def _keep(self, thread: int) -> None:
        if self._core is not None:
            with suppress(OSError):  # a sandbox's rule, a core that was taken away, a thread's end
                os.sched_setaffinity(thread, {self._core})


def _core() -> int | None:
    """One of those that this process may use, if the system can tell."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return random.choice(sorted(os.sched_getaffinity(0)))  # noqa: S311 - no secret
