"""How many requests may be scored at a time, and how many may wait. Knows no Flask."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from serving.contract import BusyError


class Capacity:
    """Permits to score, and a waiting room with a bounded number of places.

    Args:
        permits: requests scored at a time.
        places: requests that may wait for a permit.
        patience_s: seconds that a request waits before it is refused.
    """

    def __init__(self, permits: int, places: int, patience_s: float = 20.0) -> None:
        self.free_permits, self.free_places = permits, places
        self._patience_s = patience_s
        self._changed = Condition()

    @contextmanager
    def permit(self) -> Iterator[None]:
        """Holds a permit.

        Raises:
            BusyError: the waiting room is full (at once), or patience ran out.
        """
        with self._changed:
            if not self.free_permits:
                self._wait()
            self.free_permits -= 1
        try:
            yield
        finally:
            with self._changed:
                self.free_permits += 1
                self._changed.notify()

    def _wait(self) -> None:
        if not self.free_places:
            raise BusyError("the server is busy: send the request again later")
        self.free_places -= 1
        try:
            if not self._changed.wait_for(lambda: self.free_permits > 0, self._patience_s):
                raise BusyError(f"the server was busy for {self._patience_s} s: try again later")
        finally:
            self.free_places += 1
