"""Reports why a host failed to the others of its run, which then end with its reason and status.

JAX notices a host that vanished, but has no public way to send a few words while another host waits
in a collective. So every host holds a connection to the first one, which passes a failure on.
"""

import atexit
import hmac
import logging
import os
import secrets
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import msgspec

from o2v_jax.errors import Interrupted, O2VError
from o2v_jax.training.loop.agreement import broadcast

LINGER = 3.0  # seconds that the first host, which connects the others, leaves them to end
POLL, DELIVERY = 0.2, 10.0  # seconds between two looks for a failure; to let the others see one

_log = logging.getLogger("o2v_jax")


class Failure(msgspec.Struct, frozen=True):
    """Why a host ends, and with which exit status."""

    host: str
    reason: str
    status: int

    def __str__(self) -> str:
        return f"{self.host} ended: {self.reason}"


class FailureChannel:
    """Connections between the first host and each of the others, for one failure.

    `on_failure` is called with another host's reason before this process ends with its status.
    """

    def __init__(
        self, links: list[socket.socket], on_failure: Callable[[str], None], *, first: bool
    ) -> None:
        self._links, self._on_failure, self._first = links, on_failure, first
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._listen, args=(link,), daemon=True) for link in links
        ]
        for thread in self._threads:
            thread.start()

    def report(self, host: str, error: BaseException) -> None:
        """Sends the others this host's failure; this process then ends without waiting for them."""
        failure = Failure(host, str(error) or type(error).__name__, exit_status(error))
        self._send(msgspec.json.encode(failure), self._links)
        deadline = time.monotonic() + DELIVERY
        for thread in self._threads:  # a host that has read it closes the connection
            thread.join(max(0.0, deadline - time.monotonic()))
        # JAX would wait for hosts that have gone; what was registered last comes first
        atexit.register(_leave, failure.status)

    def close(self) -> None:
        """Ends the connections."""
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def _send(self, message: bytes, links: list[socket.socket]) -> None:
        for link in links:
            with suppress(OSError):
                link.sendall(message + b"\n")

    def _listen(self, link: socket.socket) -> None:
        """Ends this process when the other end reports a failure."""
        with link, link.makefile("rb") as lines:
            while not self._closed.is_set():
                if select.select([link], [], [], POLL)[0]:
                    break
            else:
                return
            with suppress(OSError):
                message = lines.readline()
                if message:  # otherwise the other end is over, or JAX will notice that it vanished
                    self._end(message.rstrip(), link)

    def _end(self, message: bytes, link: socket.socket) -> NoReturn:
        self._send(message, [other for other in self._links if other is not link])
        with suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
        failure = msgspec.json.decode(message, type=Failure)
        self._on_failure(str(failure))
        _log.error("%s", failure)
        time.sleep(LINGER if self._first else 0)
        _leave(failure.status)


def open_channel(
    coordinator: str, number: int, on_failure: Callable[[str], None], *, first: bool
) -> FailureChannel:
    """Connects `number` hosts; all of them call it, once JAX has connected them.

    Args:
        coordinator: HOST:PORT of JAX's coordination service, whose host the others reach.
        number: how many hosts there are.
        on_failure: see `FailureChannel`.
        first: whether this is the first host.
    """
    host = coordinator.rpartition(":")[0].strip("[]")
    if not first:
        links = [_connect(host)]
        return FailureChannel(links, on_failure, first=False)
    with _serve(host) as server:
        token = secrets.token_hex()
        broadcast({"port": server.getsockname()[1], "token": token})
        links = []
        while len(links) < number - 1:
            link, _ = server.accept()
            if _knows(link, token):
                links.append(link)
            else:
                link.close()
    return FailureChannel(links, on_failure, first=True)


def is_local(host: str) -> bool:
    """Whether all hosts of a run are this machine."""
    return host in {"127.0.0.1", "localhost"}


def _serve(host: str) -> socket.socket:
    if is_local(host):
        return socket.create_server(("127.0.0.1", 0))
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _connect(host: str) -> socket.socket:
    server = broadcast(None)
    address = "127.0.0.1" if is_local(host) else host
    link = socket.create_connection((address, server["port"]), timeout=DELIVERY)
    link.sendall(server["token"].encode())
    link.settimeout(None)
    return link


def _knows(link: socket.socket, token: str) -> bool:
    """Whether the other end is a host of the run."""
    link.settimeout(DELIVERY)
    received = b""
    with suppress(OSError):
        while len(received) < len(token) and (part := link.recv(len(token) - len(received))):
            received += part
    link.settimeout(None)
    return hmac.compare_digest(received, token.encode())


def exit_status(error: BaseException) -> int:
    """The exit status of a command that ends with this error."""
    if isinstance(error, Interrupted):
        return error.status
    return 2 if isinstance(error, (O2VError, OSError, MemoryError)) else 1


def _leave(status: int) -> NoReturn:
    """Ends the process at once, with what it has written."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
