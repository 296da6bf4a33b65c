"""The errors that the server answers with, and the HTTP status of each."""

from collections.abc import Mapping, Sequence

from o2v_jax.errors import InputError, RecordError


class NotFoundError(InputError):
    """The path is not one of the contract's."""


class MethodError(InputError):
    """The path does not take the method; `allowed` are those that it takes."""

    def __init__(self, message: str, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.allowed = allowed


class MediaTypeError(InputError):
    """The request's Content-Type or Content-Encoding is not one that can be read."""


class AcceptError(InputError):
    """The request accepts no format that can be written."""


class TooLargeError(InputError):
    """The request's body is over the limit, or its response would be."""


class StalledError(InputError):
    """The client has stopped sending its body."""


class DisconnectedError(InputError):
    """The client has left before its response was ready: nobody receives one."""

    def __init__(self) -> None:
        super().__init__("the client has left")


class BusyError(InputError):
    """The server has as many requests as it can take."""

    def __init__(self, message: str = "the server is busy: send the request again later") -> None:
        super().__init__(message)


class BatchFailedError(Exception):
    """The batch that a request was in could not be scored. The log has the reason."""


STATUS: Mapping[type[Exception], int] = {
    RecordError: 400,
    InputError: 400,
    NotFoundError: 404,
    MethodError: 405,
    AcceptError: 406,
    StalledError: 408,
    TooLargeError: 413,
    MediaTypeError: 415,
    DisconnectedError: 499,  # as nginx logs it
    BusyError: 503,
}


def http_status(error: Exception) -> int:
    """The HTTP status of an error: that of its nearest class in `STATUS`, else 500."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
