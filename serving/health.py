"""Whether the server should be sent requests: what GET /ping answers. Knows no Flask."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from threading import Thread

import jax

log = logging.getLogger(__name__)


class State(Enum):
    """Of a server."""

    WARMING = "warming up"
    READY = "ready"
    FAILED = "the device failed"


class Health:
    """The state of a device, as warm-up and requests find it."""

    def __init__(self) -> None:
        self.state = State.WARMING

    def warm(self, warm_up: Callable[[], object]) -> Thread:
        """Runs the warm-up in a thread of its own, which is returned."""
        thread = Thread(target=self._warm, args=(warm_up,), name="warm-up", daemon=True)
        thread.start()
        return thread

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Around work on the device: if that fails, so does health, until some work succeeds."""
        try:
            yield
        except jax.errors.JaxRuntimeError:
            self.state = State.FAILED
            raise
        if self.state is State.FAILED:
            self.state = State.READY

    def _warm(self, warm_up: Callable[[], object]) -> None:
        try:
            warm_up()
        except Exception:
            log.exception("warm-up failed")
            self.state = State.FAILED
        else:
            self.state = State.READY
            log.info("warm and ready")
