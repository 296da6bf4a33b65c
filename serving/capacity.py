"""How many requests may be read, wait and be scored at a time. Knows no Flask."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock

from serving.contract import BusyError

UPLOADS = 128  # requests whose bodies may be on their way at a time
WAITING_PLACES = 64  # requests that may wait, body complete, to be scored
SPARE_THREADS = 32  # answer /ping and refuse what is too much


def threads_for(concurrent: int) -> int:
    """Threads that are always enough, so that no stalled or waiting request keeps /ping waiting.

    Args:
        concurrent: requests scored at a time.
    """
    return UPLOADS + WAITING_PLACES + concurrent + SPARE_THREADS


class Capacity:
    """Permits, and a waiting room with a bounded number of places: first in, first out.

    Args:
        permits: requests that may hold one at a time.
        places: requests that may wait for a permit.
        patience_s: seconds that a request waits before it is refused.
    """

    def __init__(self, permits: int, places: int, patience_s: float = 20.0) -> None:
        self.free_permits, self._places, self._patience_s = permits, places, patience_s
        self._lock = Lock()
        self._waiting: deque[Event] = deque()

    @property
    def free_places(self) -> int:
        """Places in the waiting room that nobody has."""
        return self._places - len(self._waiting)

    @contextmanager
    def permit(self) -> Iterator[None]:
        """Holds a permit.

        Raises:
            BusyError: the waiting room is full (at once), or patience ran out.
        """
        turn = self._take_or_queue()
        if turn and not turn.wait(self._patience_s):
            self._leave(turn)
        try:
            yield
        finally:
            self._give()

    def _take_or_queue(self) -> Event | None:
        """None with a permit taken, else a new place in the queue."""
        with self._lock:
            if self.free_permits:
                self.free_permits -= 1
                return None
            if not self.free_places:
                raise BusyError("the server is busy: send the request again later")
            self._waiting.append(turn := Event())
            return turn

    def _leave(self, turn: Event) -> None:
        with self._lock:
            if turn.is_set():  # the permit came in the last moment
                return
            self._waiting.remove(turn)
        raise BusyError(f"the server was busy for {self._patience_s} s: try again later")

    def _give(self) -> None:
        """Hands the permit to whoever waits longest: while anybody waits, none is free to take."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self.free_permits += 1
