"""The body of a request as it is received, of bounded size and complete."""

from o2v_jax.errors import InputError
from o2v_jax.server.errors import TooLargeError


class BodyBuffer:
    """Collects a request's body as it is received: at most `limit` bytes.

    Args:
        announced: Content-Length, if there is one.
        limit: bytes.

    Raises:
        TooLargeError: a longer one is announced.
    """

    def __init__(self, announced: int | None, limit: int) -> None:
        if announced is not None and announced > limit:
            raise TooLargeError(f"the body has {announced} bytes, but at most {limit} can be taken")
        self._announced = announced
        self._limit = limit
        self._parts = bytearray()

    @property
    def room(self) -> int:
        """Bytes to read at most: one more than is allowed, to see whether there are more."""
        return self._limit + 1 - len(self._parts)

    def add(self, part: bytes) -> None:
        """Takes the next bytes.

        Raises:
            TooLargeError: the body is longer than `limit`.
        """
        self._parts += part
        if len(self._parts) > self._limit:
            raise TooLargeError(
                f"the body is longer than the {self._limit} bytes that can be taken"
            )

    def complete(self) -> bytes:
        """Returns all of it, once it has ended.

        Raises:
            InputError: the body ended before the announced length.
        """
        if self._announced is not None and len(self._parts) < self._announced:
            received = f"{len(self._parts)} of the {self._announced} announced bytes"
            raise InputError(f"the body ended after {received}")
        return bytes(self._parts)
