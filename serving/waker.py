"""Events of an event loop that other threads set."""

import asyncio
from collections import deque
from contextlib import suppress


class Waker:
    """Sets events, waking the loop once for all that are set before it has woken."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due: deque[asyncio.Event] = deque()
        self._waking = False

    def event(self) -> asyncio.Event:
        """A new one of the loop that runs; where another one ran before, that has ended."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._waking = loop, False
        return asyncio.Event()

    def set(self, event: asyncio.Event) -> None:
        """Has an event set; called by any thread."""
        self._due.append(event)
        if self._loop is not None and not self._waking:
            self._waking = True
            with suppress(RuntimeError):  # the loop has ended, and with it who waited
                self._loop.call_soon_threadsafe(self._set_all)

    def _set_all(self) -> None:
        self._waking = False  # before the last look: what comes later wakes again
        while self._due:
            self._due.popleft().set()
