"""Several hosts that train one model: joining, agreeing, and ending together.

JAX's own distributed runtime connects them. The first host runs its coordination service, writes
the model and is the one that is heard. Every host runs the same steps in the same order; where they
could differ, because of a clock or a signal, they agree first (`Votes`).

A host that fails tells the others why and they end with its message
and its status. One that vanishes is missed within LOST seconds: JAX then aborts the others.
"""

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NoReturn

import jax
import msgspec

from o2v_jax.errors import InputError, Interrupted, O2VError
from o2v_jax.training.report.metric_lines import HOST

JOIN, LOST, END = 300, 30, 900  # seconds: to come together, to be missed, to write the model
LINGER = 3.0  # that the first host, which connects them, leaves the one that failed to say it
LISTEN, HEARD = 1.0, 10.0  # seconds between two looks for a failure; to let the others see one
_FAILED, _SEEN, _END = "o2v/failed", "o2v/seen", "o2v/end"

_COLLECTIVES = "Gloo", "NCCL", "coordination service"  # whose errors name them

_log = logging.getLogger("o2v_jax")


class Failure(msgspec.Struct, frozen=True):
    """Why a host ends, and with which exit status."""

    host: str
    reason: str
    status: int

    def __str__(self) -> str:
        return f"{self.host} ended: {self.reason}"


@dataclass(frozen=True)
class Hosts:
    """The hosts of a run by name, in an order that all of them know, and which one this is.

    `coordinator` is HOST:PORT, an address of the first host that the others reach.
    """

    names: tuple[str, ...] = (HOST,)
    index: int = 0
    coordinator: str = ""

    @classmethod
    def numbered(cls, number: int, index: int, coordinator: str) -> "Hosts":
        """Hosts named as SageMaker does: algo-1, algo-2 and so on."""
        return cls(tuple(f"algo-{at + 1}" for at in range(number)), index, coordinator)

    @property
    def alone(self) -> bool:
        """Whether there is but one."""
        return len(self.names) == 1

    @property
    def first(self) -> bool:
        """Whether this one writes what is written."""
        return self.index == 0

    @property
    def _local(self) -> bool:
        """Whether all hosts are this machine."""
        return self.coordinator.rpartition(":")[0] in {"127.0.0.1", "localhost"}

    @property
    def name(self) -> str:
        """Of this host."""
        return self.names[self.index]

    @contextmanager
    def joined(self, failed: Callable[[str], None] = lambda _: None) -> Iterator[None]:
        """Within the block the hosts are connected; all leave it, or all end with one's failure.

        `failed` is told another host's reason before this process ends with it.

        Raises:
            InputError: they do not come together.
        """
        if self.alone:
            yield
            return
        client, over = self._connected(), threading.Event()
        listening = threading.Thread(target=self._listen, args=(client, over, failed), daemon=True)
        listening.start()
        try:
            with self._failures_told(client):
                yield
            self._end_together(client)
        except Together:
            self._end_together(client)
            raise
        finally:
            over.set()  # Python may not end while the thread is inside the client
            listening.join()
        jax.distributed.shutdown()

    @contextmanager
    def _failures_told(self, client: Any) -> Iterator[None]:
        try:
            yield
        except Together:
            raise
        except BaseException as error:
            self._fail(client, error)
            raise

    def _end_together(self, client: Any) -> None:
        """Waits until the first host has written the model; a failure there ends the wait."""
        client.wait_at_barrier(_END, END * 1000)

    def _connected(self) -> Any:
        # else JAX would take SIGTERM for itself; `Votes` are how the hosts stop together
        jax.config.update("jax_enable_preemption_service", False)
        try:
            jax.distributed.initialize(
                self.coordinator,
                len(self.names),
                self.index,
                # by default on all addresses, which a run on one machine has no use for
                coordinator_bind_address=self.coordinator if self._local else None,
                initialization_timeout=JOIN,
                heartbeat_timeout_seconds=LOST,
                shutdown_timeout_seconds=END,
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            where = f"the {len(self.names)} hosts of the run at {self.coordinator}"
            raise InputError(f"{where}: they have not come together ({reason})") from error
        # JAX keeps its key-value store to itself, and offers no other way to send a few words
        from jax._src.distributed import global_state  # noqa: PLC0415

        return global_state.client

    def _fail(self, client: Any, error: BaseException) -> None:
        """Tells the others; this process then ends without waiting for them."""
        _wait_for_news(error)
        failure = Failure(self.name, str(error) or type(error).__name__, status_of(error))
        with suppress(Exception):
            client.key_value_set(_FAILED, msgspec.json.encode(failure).decode())
            self._wait_until_seen(client)
        # JAX would wait for hosts that have gone; what was registered last comes first
        atexit.register(_leave, failure.status)

    def _wait_until_seen(self, client: Any) -> None:
        until = time.monotonic() + HEARD
        while time.monotonic() < until:
            if len(client.key_value_dir_get(_SEEN)) == len(self.names) - 1:
                return
            time.sleep(0.1)

    def _listen(self, client: Any, over: threading.Event, failed: Callable[[str], None]) -> None:
        """Ends this process when another one fails."""
        while not over.wait(LISTEN):
            try:
                told = client.key_value_try_get(_FAILED)
            except Exception:  # noqa: BLE001, S112 - nobody has failed, or the run is over
                continue
            failure = msgspec.json.decode(told, type=Failure)
            if failure.host != self.name:
                with suppress(Exception):
                    client.key_value_set(f"{_SEEN}/{self.index}", "yes")
                failed(str(failure))
                _log.error("%s", failure)
                time.sleep(LINGER if self.first else 0)
                _leave(failure.status)


class Together(Interrupted):
    """An interruption that all hosts agreed on, so that none has to tell the others."""


def status_of(error: BaseException) -> int:
    """The exit status of a command that ends with this error."""
    if isinstance(error, Interrupted):
        return error.status
    return 2 if isinstance(error, (O2VError, OSError, MemoryError)) else 1


def _wait_for_news(error: BaseException) -> None:
    """A lost connection is another host's failure: `_listen` or JAX soon ends this process."""
    if any(word in str(error) for word in _COLLECTIVES):
        _log.error("the connection to another host is lost: %s", str(error).partition("\n")[0])
        time.sleep(LOST + HEARD)


def _leave(status: int) -> NoReturn:
    """Ends the process at once, with what it has written."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
