"""How much may be received, scored and sent at a time. Beyond a limit the server answers 503."""

from threading import Lock

from o2v_jax.server.errors import BusyError

UPLOADS = 128  # requests whose bodies are being received
REQUESTS = 128  # requests with a complete body that are decoded, wait or are scored
RECORDS = 2**18  # of all these requests: a few bodies of 6 MiB full of usual pairs
STREAMS = 64  # long responses that are being sent
MAX_RESPONSE_FLOATS = 2**26  # in a response: 256 MiB, three times as much as text


class Limit:
    """A counter with an upper bound. What does not fit is refused at once.

    Args:
        total: the bound.
        always: so many holders get what they ask for, however much it is.
    """

    def __init__(self, total: int, always: int = 0) -> None:
        self._total = total
        self._always = always
        self._used = 0
        self._holders = 0
        self._lock = Lock()

    @property
    def free(self) -> int:
        """What is left; negative where `always` let more be acquired."""
        return self._total - self._used

    @property
    def in_use(self) -> bool:
        """Whether anybody holds some of it."""
        return self._holders > 0

    def acquire(self, count: int = 1) -> None:
        """Takes `count` of it, until `release`.

        Raises:
            BusyError: less is left.
        """
        with self._lock:
            if count > self.free and self._holders >= self._always:
                raise BusyError
            self._used += count
            self._holders += 1

    def release(self, count: int = 1) -> None:
        """Gives back what one `acquire` took."""
        with self._lock:
            self._used -= count
            self._holders -= 1

    def hold(self, count: int = 1) -> "Held":
        """A context that holds `count` of it. Entering raises as `acquire` does."""
        return Held(self, count)


class Held:
    """A part of a limit, acquired and released as a block begins and ends."""

    # no generator: every request enters three of these, which would take it twice the time
    __slots__ = ("_count", "_limit")

    def __init__(self, limit: Limit, count: int) -> None:
        self._limit, self._count = limit, count

    def __enter__(self) -> None:
        self._limit.acquire(self._count)

    def __exit__(self, *_: object) -> None:
        self._limit.release(self._count)
