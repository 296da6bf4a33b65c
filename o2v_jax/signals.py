"""SIGTERM, Ctrl-C and a closed terminal: a run saves its state and ends, instead of losing it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from o2v_jax.errors import Interrupted


class Signals:
    """Signals as exceptions: raised at once, or where `deferred` at the next `check`."""

    def __init__(self) -> None:
        self._arrived: int | None = None
        self._deferred = False

    def check(self) -> None:
        """Raises Interrupted if a signal has arrived."""
        if self._arrived is not None:
            raise Interrupted(self._arrived)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within the block a signal waits for `check`."""
        before, self._deferred = self._deferred, True
        try:
            yield
        finally:
            self._deferred = before

    @contextmanager
    def caught(self) -> Iterator["Signals"]:
        """Within the block SIGTERM, SIGINT and SIGHUP are caught; a second one ends the process.

        Python lets only its main thread do so: in any other, signals are left as they are.
        """
        main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if main else ()
        before = [signal.signal(number, self._arrive) for number in numbers]
        try:
            yield self
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def _arrive(self, number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self._arrived = number
        if not self._deferred:
            self.check()
