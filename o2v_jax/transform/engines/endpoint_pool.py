"""Running servers: requests go to the least busy one, and are sent again where that may help."""

import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import urllib3

from o2v_jax.errors import InputError

_OK = 200
RETRIED = {429, 500, 502, 503, 504}
TIMEOUT_S = 120.0  # how long there may be no answer before the run gives up
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 10.0
_TIMEOUT = urllib3.Timeout(connect=10, read=600)  # SageMaker's default for a batch request


class RefusedError(InputError):
    """A server refused a request: `message` is what it said, `status` its code."""

    def __init__(self, url: str, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(f"{url}: answered {status}: {message}")


@dataclass
class _Endpoint:
    url: str
    in_flight: int = 0
    sent: int = 0
    failures: int = 0  # in a row
    rests_until: float = 0.0


class Endpoints:
    """Servers that answer alike; safe to use from several threads.

    Args:
        urls: of the servers, with or without the path /invocations.
        concurrent: requests to each server at a time.
        timeout_s: seconds without an answer from any of them.

    Raises:
        InputError: a URL is malformed.
    """

    def __init__(
        self, urls: Sequence[str], *, concurrent: int = 1, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.endpoints = [_Endpoint(_strip_path(url)) for url in urls]
        self.concurrent = concurrent
        self._timeout_s = timeout_s
        self._pool = urllib3.PoolManager(maxsize=100, timeout=_TIMEOUT, retries=False)
        self._changed = threading.Condition()
        self._closed = False
        self._answered = time.monotonic()

    def close(self) -> None:
        """Ends all waiting; what waits in other threads ends with an error."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._pool.clear()

    def fetch_execution_parameters(self) -> dict[str, Any]:
        """The first server's answer to GET /execution-parameters; empty if it has none.

        Raises:
            InputError: the server does not answer.
        """
        url = f"{self.endpoints[0].url}/execution-parameters"
        try:
            reply = self._pool.request("GET", url)
            answer = json.loads(reply.data) if reply.status == _OK else {}
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise InputError(f"{url}: {_describe_failure(error)}") from error
        return answer if isinstance(answer, dict) else {}

    def invoke(self, body: bytes, content_type: str, accept: str) -> bytes:
        """The answer to a request.

        Raises:
            RefusedError: the request is wrong, or cannot be answered by this server.
            InputError: no server answered for `timeout_s` seconds.
        """
        headers = {"Content-Type": content_type, "Accept": accept}
        began = time.monotonic()
        while True:
            endpoint = self._take()
            try:
                answer, problem, wait = self._attempt(endpoint.url, body, headers)
            finally:
                self._give_back(endpoint)
            if not problem:
                self._answered = time.monotonic()
                endpoint.failures = 0
                return answer
            self._let_rest(endpoint, wait)
            if time.monotonic() - max(began, self._answered) > self._timeout_s:
                raise InputError(
                    f"{endpoint.url}: {problem}, and no server has answered for "
                    f"{self._timeout_s:g} s: what is done is kept, and the same command resumes"
                )

    def _attempt(self, base: str, body: bytes, headers: dict[str, str]) -> tuple[bytes, str, float]:
        """The answer; or what is wrong, and how long the server asks to be left alone."""
        url = f"{base}/invocations"
        try:
            reply = self._pool.request("POST", url, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            return b"", _describe_failure(error), 0.0
        if reply.status in RETRIED:
            return b"", f"answers {reply.status}", _read_retry_after(reply)
        if reply.status != _OK:
            raise RefusedError(url, reply.status, _read_message(reply.data))
        return reply.data, "", 0.0

    def _take(self) -> _Endpoint:
        """The least busy server that can be asked; waits until there is one."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                rests = [e.rests_until - now for e in self.endpoints if e.rests_until > now]
                able = [e for e in self.endpoints if e.in_flight < self.concurrent]
                if able := [e for e in able if e.rests_until <= now]:
                    chosen = min(able, key=lambda e: (e.in_flight, e.sent))
                    chosen.in_flight += 1
                    chosen.sent += 1
                    return chosen
                self._changed.wait(min(rests, default=None))
        raise InputError("stopped")

    def _give_back(self, endpoint: _Endpoint) -> None:
        with self._changed:
            endpoint.in_flight -= 1
            self._changed.notify_all()

    def _let_rest(self, endpoint: _Endpoint, asked: float) -> None:
        with self._changed:
            wait = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**endpoint.failures)
            endpoint.failures = min(endpoint.failures + 1, 30)
            # not all at once again
            wait = max(asked, wait * random.uniform(0.5, 1))  # noqa: S311 - no secret
            endpoint.rests_until = max(endpoint.rests_until, time.monotonic() + wait)


def _strip_path(url: str) -> str:
    base = url.rstrip("/").removesuffix("/invocations")
    try:
        scheme = urllib3.util.parse_url(base).scheme
    except urllib3.exceptions.LocationParseError:
        scheme = None
    if scheme not in {"http", "https"}:
        raise InputError(
            f"{url!r} is not the URL of a server: expected one such as http://host:8080"
        )
    return base


def _read_retry_after(reply: urllib3.BaseHTTPResponse) -> float:
    header = reply.headers.get("Retry-After", "")
    return min(float(header), TIMEOUT_S) if header.isdigit() else 0.0


def _read_message(body: bytes) -> str:
    """What a person should read of an error's body."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, TypeError, KeyError):
        return body[:200].decode(errors="replace")


def _describe_failure(error: Exception) -> str:
    return f"does not answer ({str(error).rpartition(': ')[2] or type(error).__name__})"
