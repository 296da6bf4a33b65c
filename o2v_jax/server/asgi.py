"""The contract on an event loop: an ASGI application.

A waiting request is a future here and a thread under Flask: with a thread for each of 32
connections Python's lock goes from thread to thread, and half as many requests of one pair are
answered. Only long bodies and the pieces of long responses take a thread, so that nobody waits for
them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

from o2v_jax.constants import STALL_S
from o2v_jax.memory import give_back_freed_memory
from o2v_jax.server.errors import DisconnectedError
from o2v_jax.server.http import Contract, Request, Response
from o2v_jax.server.limits import REQUESTS, STREAMS
from o2v_jax.server.pending import Pending
from o2v_jax.server.service import LONG_BODY, Service
from o2v_jax.server.upload import Message, Receive, Upload

Send: TypeAlias = Callable[[Message], Awaitable[None]]
RawHeaders: TypeAlias = Iterable[tuple[bytes, bytes]]

# Where the rest of a body is not needed, it is received for the first time before the response, so
# that the connection can be kept, and for the second after it, because closing at once could lose
# the response.
_DISCARD_S, _LINGER_S = 0.5, 0.5
_GIVE_BACK_S = 1.0
# Requests that are answered sooner are not watched for a client that leaves, which costs time.
_WATCH_AFTER_S = 0.05
# Bytes of the longest body that is decoded on the loop. With 2**16, a burst of 128 requests of
# 1,000 pairs kept /ping waiting for 4 s.
_SHORT_BODY = 2**15


class _Closable(Protocol):
    @property
    def close(self) -> Callable[[], None]: ...


Made = TypeVar("Made", bound=_Closable)


class Application:
    """An ASGI application around one service.

    Args:
        service: of the model.
        stall_s: seconds without a byte of its body after which a request is refused.
    """

    def __init__(self, service: Service, stall_s: float = STALL_S) -> None:
        self._service = service
        self._contract = Contract(service)
        self._stall_s = stall_s
        # one thread: each that wants Python's lock makes the loop wait for it longer
        self._decoder = ThreadPoolExecutor(1, "body")
        self._threads = ThreadPoolExecutor(REQUESTS, "long body")
        self._encoders = ThreadPoolExecutor(STREAMS, "long response")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        headers, query = _join_headers(scope["headers"]), scope.get("query_string", b"")
        request = Request(scope["method"], scope["path"], headers, query.decode("latin-1"))
        upload = Upload(receive, request)
        try:
            response = await self._respond(request, upload)
        except Exception as error:  # noqa: BLE001 - answered and logged
            response = self._contract.refuse(request, error)
        try:
            await self._send(response, upload, send)
        finally:
            response.close()
            upload.close()

    async def _respond(self, request: Request, upload: Upload) -> Response:
        body = self._contract.open(request)
        if isinstance(body, Response):
            return body
        with self._contract.limit_uploads():
            await upload.fill(body, self._stall_s)
        pending = await self._submit(request, body.complete())
        try:
            await self._wait(pending, upload)
            if upload.has_left:
                raise DisconnectedError
            respond = partial(self._contract.respond, request, pending)
            if pending.stream:
                return await _run_in_thread(self._threads, respond)
            return respond()
        finally:
            pending.close()

    async def _submit(self, request: Request, body: bytes) -> Pending:
        with self._contract.admit() as limits:  # before it waits for a thread
            submit = partial(self._contract.submit, request, body, limits)
            if len(body) <= _SHORT_BODY:
                return submit()
            threads = self._decoder if len(body) <= LONG_BODY else self._threads
            return await _run_in_thread(threads, submit)

    async def _wait(self, pending: Pending, upload: Upload) -> None:
        """Waits until the results are there, or will not come."""
        watches: list[asyncio.Task[None]] = []

        def watch() -> None:
            watches.append(asyncio.ensure_future(self._watch(pending, upload)))

        timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, watch)
        try:
            for future in pending.awaited:
                await _complete(future)
        finally:
            timer.cancel()
            for each in watches:
                each.cancel()

    async def _watch(self, pending: Pending, upload: Upload) -> None:
        """Withdraws what no device takes in time; gives up all of it once the client has left."""
        disconnected = upload.watch_client()
        await asyncio.wait([disconnected], timeout=self._service.batcher.timeout_s)
        if not disconnected.done():
            pending.withdraw()
        await asyncio.wait([disconnected])
        pending.abandon()

    async def _send(self, response: Response, upload: Upload, send: Send) -> None:
        keeps = await upload.discard(_DISCARD_S)
        headers = response.headers if keeps else response.headers | {"connection": "close"}
        start = {"status": response.status, "headers": _encode_headers(headers)}
        await send({"type": "http.response.start", **start})
        if isinstance(response.body, bytes):
            await send({"type": "http.response.body", "body": response.body})
        else:
            await self._send_pieces(response.body, upload, send)
        if not keeps:
            await upload.discard(_LINGER_S)

    async def _send_pieces(self, pieces: Iterator[bytes], upload: Upload, send: Send) -> None:
        """Sends them until the client has left."""
        loop, disconnected = asyncio.get_running_loop(), upload.watch_client()
        while not disconnected.done():
            piece = await loop.run_in_executor(self._encoders, next, pieces, None)
            more = piece is not None
            await send({"type": "http.response.body", "body": piece or b"", "more_body": more})
            if not more:
                return
        loop.call_later(_GIVE_BACK_S, self._give_back)

    def _give_back(self) -> None:
        """Frees the memory of long responses that were given up, unless others are being sent."""
        if not self._service.response_floats.in_use:
            self._encoders.submit(give_back_freed_memory)


async def _run_in_thread(threads: ThreadPoolExecutor, call: Callable[[], Made]) -> Made:
    """Runs `call` in a thread. A result that nobody waits for any more is closed."""
    made = threads.submit(call)
    try:
        return await asyncio.shield(asyncio.wrap_future(made))
    except asyncio.CancelledError:
        made.add_done_callback(lambda made: made.exception() or made.result().close())
        raise


async def _complete(future: Future[Any]) -> None:
    """Waits until a future is complete; its errors are for whoever asks for the results."""
    try:  # asyncio.gather and asyncio.wait would cost a request of one pair a percent of its time
        await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise  # the request was cancelled, not the future
    except Exception:  # noqa: BLE001, S110 - raised again with the results
        pass


def _join_headers(headers: RawHeaders) -> dict[str, str]:
    """Headers by name; what was sent twice is joined, as WSGI servers do."""
    joined: dict[str, str] = {}
    for raw, encoded in headers:
        name, value = raw.decode("latin-1"), encoded.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _encode_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
