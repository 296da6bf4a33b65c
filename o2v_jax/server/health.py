"""Whether the server should be sent requests: what GET /ping answers."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from threading import Thread

import jax

log = logging.getLogger(__name__)


class Readiness(Enum):
    """Whether a server is ready for requests."""

    WARMING = "warming up"
    READY = "ready"
    FAILED = "the device failed"


class Health:
    """The state of the devices, as warm-up and requests find it; a failed one fails the server.

    A failed device is ready again once a computation on it succeeds; a server whose warm-up failed
    never becomes ready.
    """

    def __init__(self) -> None:
        self._failed: set[int] = set()
        self._usable = self._warm_up_failed = self.warm_up_ended = False

    @property
    def readiness(self) -> Readiness:
        """Whether the server is ready for requests."""
        if self._failed or self._warm_up_failed:
            return Readiness.FAILED
        return Readiness.READY if self._usable else Readiness.WARMING

    def warm(self, first: Callable[[], object], rest: Callable[[], object]) -> Thread:
        """Starts a thread that runs both, and returns it: ready as soon as `first` is done."""
        thread = Thread(target=self._warm, args=(first, rest), name="warm-up", daemon=True)
        thread.start()
        return thread

    @contextmanager
    def watch_device(self, device: int = 0) -> Iterator[None]:
        """A context around a computation: a device that fails is unhealthy until one succeeds."""
        try:
            yield
        except jax.errors.JaxRuntimeError:
            self._failed.add(device)
            raise
        self._failed.discard(device)

    def _warm(self, first: Callable[[], object], rest: Callable[[], object]) -> None:
        try:
            first()
            self._usable = True
            log.info("warm and ready")
            rest()
        except Exception:
            log.exception("warm-up failed: this server will not become ready")
            # for good: some requests may succeed, but those of the programs that failed will not
            self._warm_up_failed = True
        else:
            self.warm_up_ended = True
            log.info("every program is compiled")


def count_device_bytes() -> int:
    """Returns the bytes in use on the devices; where JAX does not know, those of live arrays."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    if all(stats):
        return sum(int(stat["bytes_in_use"]) for stat in stats)
    return sum(array.nbytes for array in jax.live_arrays())
