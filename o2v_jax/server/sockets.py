"""Socket options that Granian does not offer: the kernel ends connections that stall."""

import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

_SPARE_FILES = 256  # the model's, the log's, threads' pipes
_POLL_S, _LONGEST_S = 0.02, 60.0

log = logging.getLogger(__name__)


def allow_connections(most: int) -> int:
    """Raises the limit of open files; returns how many connections it allows, `most` at most."""
    if sys.platform == "win32":
        return most
    import resource  # noqa: PLC0415 - there is none on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < most + _SPARE_FILES:
        wanted = most + _SPARE_FILES
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):  # not here
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    return min(most, max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_FILES, 1))


def reset_stalled(port: int, seconds: float) -> None:
    """Makes the kernel reset connections whose client receives nothing for so long.

    A thread sets this as soon as this process listens on the port. A client that receives slowly is
    never disconnected. Linux only: others have no such option.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        Thread(target=_set_when_listening, args=(port, seconds), daemon=True).start()


def _set_when_listening(port: int, seconds: float) -> None:
    end = time.monotonic() + _LONGEST_S
    while time.monotonic() < end:
        listens = [_set(each, port, seconds) for each in _list_sockets()]
        if any(listens):
            return
        time.sleep(_POLL_S)
    log.warning(
        "clients that stop reading will not be disconnected: nothing listens on port %d", port
    )


def _set(each: socket.socket, port: int, seconds: float) -> bool:
    """Sets the option on a socket of this port; returns whether it is the listening one."""
    with each, suppress(OSError):  # closed meanwhile
        if each.family in {socket.AF_INET, socket.AF_INET6} and each.getsockname()[1] == port:
            timeout = round(seconds * 1000)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout)
            return bool(each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False


def _list_sockets() -> Iterator[socket.socket]:
    """Yields a second descriptor of each socket that this process has open."""
    names: list[Path] = []
    with suppress(OSError):  # there is no /proc, or no descriptor left to read it by
        names += Path("/proc/self/fd").iterdir()
    for name in names:
        if name.is_socket() and (found := _duplicate(int(name.name))):
            yield found


def _duplicate(descriptor: int) -> socket.socket | None:
    """Duplicates a socket; None if it is closed meanwhile."""
    with suppress(OSError):
        second = os.dup(descriptor)
        try:
            return socket.socket(fileno=second)
        except OSError:
            os.close(second)
    return None
