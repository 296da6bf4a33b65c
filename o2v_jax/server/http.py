"""The SageMaker container contract: a request in, a response out. No sockets, no framework.

`serving.app` (Flask) and `o2v_jax.server.asgi` (an event loop) are shims around `Contract`. Both
take the same steps, each of which may raise:

1. `open`: the head of a request decides the response, or where the body goes;
2. `admit` and `submit`: the records of the whole body are queued;
3. `respond`: waits for the results, and encodes them.

What is done with a body is the route's own: see `Operation`.

`refuse` makes a response of whatever was raised. A response's body is bytes, or an iterator of
pieces where it is long.

Source: the Amazon SageMaker developer guide ("Use Your Own Inference Code with Hosting Services").
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

from o2v_jax.errors import InputError, O2VError, RecordError
from o2v_jax.server import endpoints
from o2v_jax.server.body import BodyBuffer
from o2v_jax.server.errors import (
    BatchFailedError,
    BusyError,
    MethodError,
    NotFoundError,
    http_status,
)
from o2v_jax.server.invocation import Invocations
from o2v_jax.server.media_types import require_identity
from o2v_jax.server.metrics import COUNTED
from o2v_jax.server.pending import Operation, Pending
from o2v_jax.server.rerank import Rerank
from o2v_jax.server.search import Search
from o2v_jax.server.service import Service

CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
RETRY_AFTER_S = 1
_JSON = "application/json"
_READ = ("GET", "HEAD", "OPTIONS")
_INVOKE = ("OPTIONS", "POST")
ROUTES: Mapping[str, tuple[str, ...]] = {
    "/invocations": _INVOKE,
    "/endpoints/NAME/invocations": _INVOKE,
    "/search": _INVOKE,
    "/rerank": _INVOKE,
    "/ping": _READ,
    "/execution-parameters": _READ,
    "/metrics": _READ,
}
_NAMES = [f"{'POST' if 'POST' in methods else 'GET'} {path}" for path, methods in ROUTES.items()]
PATHS = f"{', '.join(_NAMES[:-1])} and {_NAMES[-1]}"
_ENDPOINT = re.compile(endpoints.PREFIX + "[^/]+/invocations")
_SLASHES = re.compile("/{2,}")
_NO_INDEX = "this server has no index: start it with o2v serve --index INDEX, or with O2V_INDEX"

log = logging.getLogger(__name__)


class Request:
    """The head of a request.

    Args:
        method: such as POST.
        path: without percent encoding.
        headers: by lower-case name; what was sent twice is joined by a comma.
        query: what follows the path's question mark, as it was sent.

    Attributes:
        path: with one slash where there are several, as behind a base URL that ends in a slash. A
            redirect is not followed by every client with its body.
    """

    __slots__ = ("headers", "method", "path", "query")

    def __init__(self, method: str, path: str, headers: Mapping[str, str], query: str = "") -> None:
        self.query = query
        self.method = method
        self.path = _SLASHES.sub("/", path) or "/"
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True)
class Response:
    """What a request is answered with. Close it once it is sent, or given up.

    Attributes:
        status: of HTTP.
        headers: by lower-case name.
        body: whole, or an iterator of pieces, each made when it is asked for.
        close: gives back what a long response holds.
    """

    status: int
    headers: dict[str, str]
    body: bytes | Iterator[bytes] = b""
    close: Callable[[], None] = lambda: None


class Contract:
    """Routes, methods, headers, media types, limits, errors and metrics around one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._invocations = Invocations(service)
        self._others: dict[str, Operation] = {"/rerank": Rerank(service)}
        if service.index is not None and service.searches is not None:
            self._others["/search"] = Search(service, service.index, service.searches)
        self._reads = {
            "/ping": self._answer_ping,
            "/execution-parameters": self._answer_execution_parameters,
            "/metrics": self._answer_metrics,
        }

    def handle(self, request: Request, read: Callable[[int], bytes]) -> Response:
        """Takes all steps, for servers with a thread for each request: it blocks.

        Args:
            request: the head.
            read: returns at most so many bytes of the body, none at its end.
        """
        try:
            opened = self.open(request)
            if isinstance(opened, Response):
                return opened
            with self.limit_uploads():
                while part := read(opened.room):
                    opened.add(part)
            with self.admit() as limits:
                pending = self.submit(request, opened.complete(), limits)
            try:
                return self.respond(request, pending)
            finally:
                pending.close()
        except Exception as error:  # noqa: BLE001 - answered and logged
            return self.refuse(request, error)

    def open(self, request: Request) -> Response | BodyBuffer:
        """Reads the head: the response that it decides, else where the body goes.

        Raises:
            InputError: the request is refused whatever its body is.
        """
        route = "/endpoints/NAME/invocations" if _ENDPOINT.fullmatch(request.path) else request.path
        methods = ROUTES.get(route)
        if methods is None:
            raise NotFoundError(f"{request}: no such path; the paths are {PATHS}")
        if request.method not in methods:
            message = f"{request}: The method is not allowed for the requested URL."
            raise MethodError(message, methods)
        if request.method == "OPTIONS":
            return self._finish(request, Response(200, {"allow": ", ".join(methods)}))
        if route in self._reads:
            return self._finish(request, self._reads[route]())
        if route == "/search" and route not in self._others:
            raise NotFoundError(f"{request}: {_NO_INDEX}")
        return self._open_body(request)

    def limit_uploads(self) -> AbstractContextManager[None]:
        """A context to receive a body in; entering raises `BusyError` beyond the limit."""
        return self._service.uploads.hold()

    def require_capacity(self) -> None:
        """Raises `BusyError` if the next request would be refused whatever it holds."""
        if self._service.requests.free < 1:
            raise BusyError

    def admit(self) -> ExitStack:
        """Counts a request whose body is complete; raises `BusyError` beyond the limit.

        Returns:
            What `submit` takes over. It is closed where nothing is submitted.
        """
        return self._service.admit()

    def submit(self, request: Request, body: bytes, limits: ExitStack) -> Pending:
        """Decodes the body and queues its records.

        Args:
            request: its head.
            body: the whole.
            limits: of `admit`.

        Raises:
            RecordError, InputError: the request is wrong, or the server is busy.
        """
        headers = request.headers
        media_types = headers.get("content-type"), headers.get("accept")
        return self._get_operation(request).submit(body, *media_types, limits, request.query)

    def respond(self, request: Request, pending: Pending) -> Response:
        """Waits for the results, and encodes them; a long response is encoded as it is sent.

        Raises:
            BusyError: no device was free in time, or the server is stopping.
            BatchFailedError: the records could not be scored.
        """
        answer = self._get_operation(request).finish(pending)
        headers = {"content-type": str(answer.format)}
        return self._finish(request, Response(200, headers, answer.body, answer.close))

    def refuse(self, request: Request, error: Exception) -> Response:
        """Makes the response to an error, and logs those that are the server's own."""
        status, message, headers = http_status(error), str(error), {"content-type": _JSON}
        if isinstance(error, MethodError):
            headers["allow"] = ", ".join(error.allowed)
        elif isinstance(error, BusyError):
            headers["retry-after"] = str(RETRY_AFTER_S)
        elif not isinstance(error, O2VError):
            message = "the server failed: its log says why"
            is_logged = isinstance(error, BatchFailedError)  # once for the whole batch
            log.error("%s failed", request, exc_info=None if is_logged else error)
        path = error.where if isinstance(error, RecordError) else None
        return self._finish(request, Response(status, headers, error_body(message, path=path)))

    def _get_operation(self, request: Request) -> Operation:
        """What a request's route does; its path may be any that `open` lets through."""
        return self._others.get(request.path, self._invocations)

    def _open_body(self, request: Request) -> BodyBuffer:
        self.require_capacity()  # before the body is received: a flood costs little then
        require_identity(request.headers.get("content-encoding"))
        return BodyBuffer(
            _read_content_length(request.headers), self._service.settings.max_body_bytes
        )

    def _answer_ping(self) -> Response:
        return Response(200 if self._service.ready else 503, {})

    def _answer_execution_parameters(self) -> Response:
        body = orjson.dumps(self._service.settings.execution_parameters())
        return Response(200, {"content-type": _JSON}, body)

    def _answer_metrics(self) -> Response:
        return Response(200, {"content-type": CONTENT_TYPE_LATEST}, self._service.metrics.render())

    def _finish(self, request: Request, response: Response) -> Response:
        """Adds what every response has, and counts it."""
        attributes = request.headers.get(CUSTOM_ATTRIBUTES)
        if attributes is not None:
            response.headers[CUSTOM_ATTRIBUTES] = attributes
        if request.path.endswith("/invocations"):
            self._service.metrics.count_response(response.status)
        elif request.path in COUNTED:
            self._service.metrics.count_response(response.status, request.path)
        if request.path.startswith(endpoints.PREFIX):
            _add_endpoint(request, response)
        if isinstance(response.body, bytes):
            response.headers["content-length"] = str(len(response.body))
            if request.method == "HEAD":
                response.body = b""
        return response


def error_body(message: str, *, path: str | None = None) -> bytes:
    """The JSON body of an error: "error" for people, "message" for botocore, which shows that."""
    return orjson.dumps({"error": message, "message": message} | ({"path": path} if path else {}))


def _add_endpoint(request: Request, response: Response) -> None:
    """Adds what SageMaker's runtime service adds to a container's response."""
    if response.status < 400:  # noqa: PLR2004 - errors begin here
        variant = request.headers.get(endpoints.TARGET_VARIANT)
        response.headers |= endpoints.make_success_headers(variant)
        return
    headers = endpoints.make_error_headers(response.status)
    if headers["x-amzn-errortype"] == endpoints.MODEL_ERROR and isinstance(response.body, bytes):
        response.body = endpoints.model_error_body(response.status, response.body)
    response.headers |= headers


def _read_content_length(headers: Mapping[str, str]) -> int | None:
    """Content-Length, where it counts."""
    length = headers.get("content-length")
    if not length or "transfer-encoding" in headers:
        return None
    if not (length.isascii() and length.isdigit()):
        raise InputError(f"Content-Length {length} is not a number of bytes")
    return int(length)
