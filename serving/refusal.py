"""Refuses requests while the server is full, before Flask sees them. Knows no Flask.

A flood of requests takes Python's lock from the device's thread, so that the dearer a refusal, the
less is scored: through Flask a flood of 400 connections leaves less than 1 % of the scores that
this does.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from serving import contract

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ATTRIBUTES = f"HTTP_{contract.CUSTOM_ATTRIBUTES.upper().replace('-', '_')}"  # as WSGI has it
_BODY = contract.error_body(str(contract.BusyError()))
_HEADERS = [
    ("Content-Type", "application/json"),
    ("Content-Length", str(len(_BODY))),
    ("Retry-After", str(contract.RETRY_AFTER_S)),
]


class RefuseWhenFull:
    """A WSGI application in front of another one.

    Args:
        app: answers everything but invocations while the server is full.
        is_full: whether that is so.
        count: called with the status of every refusal.
    """

    def __init__(
        self, app: "WSGIApplication", is_full: Callable[[], bool], count: Callable[[int], None]
    ) -> None:
        self._app, self._is_full, self._count = app, is_full, count

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """As WSGI applications do. The body of what is refused is not read."""
        if not (environ["PATH_INFO"].endswith("/invocations") and self._is_full()):
            return self._app(environ, start_response)
        self._count(503)
        attributes = environ.get(ATTRIBUTES)
        echo = [(contract.CUSTOM_ATTRIBUTES, attributes)] if attributes is not None else []
        start_response("503 SERVICE UNAVAILABLE", _HEADERS + echo)
        return [_BODY]
