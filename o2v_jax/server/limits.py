"""How much may be read, wait and be sent at a time. Knows no Flask."""

from threading import Lock

from o2v_jax.server.http import BusyError

UPLOADS = 128  # requests whose bodies may be on their way at a time
REQUESTS = 128  # requests, body complete, that may be decoded, wait or be scored at a time
RECORDS = 2**18  # of all these requests: a few bodies of 6 MiB full of usual pairs
STREAMS = 64  # long answers that may be on their way at a time
SPARE_THREADS = 32  # answer what is no invocation


class Permits:
    """A number of permits; who asks for more than are left is refused at once.

    Args:
        total: permits in all.
        always: this many holders get what they ask for, however much it is.
    """

    def __init__(self, total: int, always: int = 0) -> None:
        self._total, self._always = total, always
        self._taken = self._holders = 0
        self._lock = Lock()

    @property
    def free(self) -> int:
        """Permits that are left; negative where `always` let more be taken."""
        return self._total - self._taken

    @property
    def held(self) -> bool:
        """Whether anybody holds some."""
        return self._holders > 0

    def take(self, count: int = 1) -> None:
        """Takes permits, to be given back.

        Raises:
            BusyError: not so many are left.
        """
        with self._lock:
            if count > self.free and self._holders >= self._always:
                raise BusyError
            self._taken += count
            self._holders += 1

    def give(self, count: int = 1) -> None:
        """Gives back what one `take` took."""
        with self._lock:
            self._taken -= count
            self._holders -= 1

    def taken(self, count: int = 1) -> "Taken":
        """Holds permits while a block runs; entering it raises as `take`."""
        return Taken(self, count)


class Taken:
    """Permits, held from the beginning of a block to its end."""

    # no generator: every request passes three of these, and they take it twice the time
    __slots__ = ("_count", "_permits")

    def __init__(self, permits: Permits, count: int) -> None:
        self._permits, self._count = permits, count

    def __enter__(self) -> None:
        self._permits.take(self._count)

    def __exit__(self, *_: object) -> None:
        self._permits.give(self._count)
