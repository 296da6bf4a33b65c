"""Invocations and /ping on an event loop, in front of the Flask app.

A waiting request is a future here and a thread there: with a thread for each of 32 connections
Python's lock goes from thread to thread, and half as many requests of one pair are answered. Only
long bodies and the pieces of long answers take a thread, so that nobody waits for them.
"""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from a2wsgi import WSGIMiddleware
from flask import Flask

from o2v_jax.errors import STALL_S
from o2v_jax.memory import give_back_freed_memory
from o2v_jax.server import endpoints, http
from o2v_jax.server.batcher import PATIENCE_S
from o2v_jax.server.limits import REQUESTS, SPARE_THREADS, STREAMS
from o2v_jax.server.service import LONG_BODY, Answer, ErrorAnswer, Service, answer_to
from o2v_jax.server.upload import Headers, Message, Receive, Upload
from o2v_jax.server.work import Work


class Waker:
    """Sets events, waking the loop once for all that are set before it has woken."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due: deque[asyncio.Event] = deque()
        self._waking = False

    def event(self) -> asyncio.Event:
        """A new one of the loop that runs; where another one ran before, that has ended."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._waking = loop, False
        return asyncio.Event()

    def set(self, event: asyncio.Event) -> None:
        """Has an event set; called by any thread."""
        self._due.append(event)
        if self._loop is not None and not self._waking:
            self._waking = True
            with suppress(RuntimeError):  # the loop has ended, and with it who waited
                self._loop.call_soon_threadsafe(self._set_all)

    def _set_all(self) -> None:
        self._waking = False  # before the last look: what comes later wakes again
        while self._due:
            self._due.popleft().set()


Send: TypeAlias = Callable[[Message], Awaitable[None]]
Pairs: TypeAlias = Sequence[tuple[bytes, bytes]]

# What is left of a body that nobody needs is read for so long before the answer, in which case the
# connection is kept, and for so long after it: closing at once could take the answer with it.
_REST_S, _LINGER_S = 0.5, 0.5
_GIVE_BACK_S = 1.0
_ENDPOINT = re.compile(endpoints.PREFIX + "[^/]+/invocations")
_ATTRIBUTES = http.CUSTOM_ATTRIBUTES.lower().encode()
_VARIANT = endpoints.TARGET_VARIANT.lower().encode()
_ABOUT_BODIES = {b"content-length", b"transfer-encoding"}
_CLOSE = (b"connection", b"close")


class Front:
    """An ASGI application.

    Args:
        app: the Flask app, which answers everything else.
        service: the one that it answers with.
        stall_s: seconds without a byte of its body after which a request is refused.
    """

    def __init__(self, app: Flask, service: Service, stall_s: float = STALL_S) -> None:
        self._service, self._waker, self._stall_s = service, Waker(), stall_s
        adapter: Any = WSGIMiddleware  # whose types are narrower than WSGI's and ASGI's own
        self._other = adapter(app, workers=SPARE_THREADS)
        self._threads = ThreadPoolExecutor(REQUESTS, "long body")
        self._encoders = ThreadPoolExecutor(STREAMS, "long answer")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        method, path = scope["method"], http.merge_slashes(scope["path"])
        if method == "POST" and path == "/invocations":
            await self._invocation(scope, receive, send)
        elif method == "POST" and _ENDPOINT.fullmatch(path):
            await self._invocation(scope, receive, send, is_endpoint=True)
        elif method == "GET" and path == "/ping":
            echo = _echo(_joined(scope["headers"]))
            await _send_whole(send, 200 if self._service.ready else 503, echo, b"")
        else:
            await self._flask(scope, receive, send)

    async def _invocation(
        self, scope: Message, receive: Receive, send: Send, *, is_endpoint: bool = False
    ) -> None:
        sent = _joined(scope["headers"])
        echo, upload = _echo(sent), Upload(receive, sent)
        try:
            answer = await self._answer(sent, upload)
        except Exception as error:  # noqa: BLE001 - answered and logged
            refusal = answer_to(error, f"POST {scope['path']}")
            self._service.metrics.answered(refusal.status)
            await _send_error(
                send, upload, endpoints.modelled(refusal) if is_endpoint else refusal, echo
            )
            return
        self._service.metrics.answered(200)
        headers = [_type(str(answer.format)), *echo]
        if is_endpoint:
            headers += _encoded(endpoints.success_headers(_text(sent, _VARIANT)))
        try:
            if isinstance(answer.body, bytes):
                await _send_whole(send, 200, headers, answer.body)
            else:
                await self._send_pieces(receive, send, headers, answer.body)
        finally:
            answer.close()

    async def _flask(self, scope: Message, receive: Receive, send: Send) -> None:
        """Nothing there needs a body, so it gets none: the adapter cannot read Granian's."""
        upload = Upload(receive, _joined(scope["headers"]))
        close = [] if await upload.ends(_REST_S) else [_CLOSE]

        async def send_all(message: Message) -> None:
            more = {"headers": [*message["headers"], *close]} if "headers" in message else {}
            await send(message | more)

        headers = [pair for pair in scope["headers"] if pair[0] not in _ABOUT_BODIES]
        await self._other({**scope, "headers": headers}, _no_body, send_all)
        if close:
            await upload.ends(_LINGER_S)

    async def _answer(self, sent: Headers, upload: Upload) -> Answer:
        self._require_room()  # before the body is read, for a flood costs little then
        http.require_plain(_text(sent, b"content-encoding"))
        body = await self._body(sent, upload)
        self._require_room()  # or this one would wait for a thread
        arguments = body, _text(sent, b"content-type"), _text(sent, b"accept")
        if len(body) > LONG_BODY:
            return await self._answered(partial(self._service.answer, *arguments))
        event = self._waker.event()
        with self._service.begun(*arguments, resolved=partial(self._waker.set, event)) as begun:
            await self._resolved(begun.works, event)
            if begun.held:
                return await self._answered(partial(self._service.finished, begun))
            return self._service.finished(begun)

    def _require_room(self) -> None:
        if self._service.full:
            raise http.BusyError

    async def _answered(self, call: Callable[[], Answer]) -> Answer:
        """The answer that a thread makes; one that nobody waits for any more is closed."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(_close)
            raise

    async def _resolved(self, works: Sequence[Work], event: asyncio.Event) -> None:
        """Waits until all are; those that have not been begun when patience ends are withdrawn."""
        loop, batcher = asyncio.get_running_loop(), self._service.batcher
        patience = loop.call_later(PATIENCE_S, lambda: list(map(batcher.withdraw, works)))
        try:
            for work in works:
                while not work.resolved:
                    event.clear()
                    await event.wait()
        finally:
            patience.cancel()

    async def _body(self, sent: Headers, upload: Upload) -> bytes:
        length = _text(sent, b"content-length")
        limit = self._service.settings.max_body_bytes
        with self._service.uploading():
            body = http.Body(int(length) if length else None, limit)
            await upload.fill(body, self._stall_s)
        return body.whole()

    async def _send_pieces(
        self, receive: Receive, send: Send, headers: Pairs, pieces: Iterator[bytes]
    ) -> None:
        """Sends them until the client has gone: after the body that is all there is to receive."""
        loop, gone = asyncio.get_running_loop(), asyncio.ensure_future(receive())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while not gone.done():
                piece = await loop.run_in_executor(self._encoders, next, pieces, None)
                more = piece is not None
                await send({"type": "http.response.body", "body": piece or b"", "more_body": more})
                if not more:
                    return
            loop.call_later(_GIVE_BACK_S, self._give_back)
        finally:
            gone.cancel()

    def _give_back(self) -> None:
        """Memory of long answers that were given up, unless others need it at once."""
        if not self._service.sending:
            self._encoders.submit(give_back_freed_memory)


async def _send_error(send: Send, upload: Upload, refusal: ErrorAnswer, echo: Pairs) -> None:
    close = [] if await upload.ends(_REST_S) else [_CLOSE]
    headers = [_type("application/json"), *_encoded(refusal.headers), *echo, *close]
    await _send_whole(send, refusal.status, headers, refusal.body)
    if close:
        await upload.ends(_LINGER_S)


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send_whole(send: Send, status: int, headers: Pairs, body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


def _close(made: "asyncio.Future[Answer]") -> None:
    if not made.exception():
        made.result().close()


def _joined(headers: Pairs) -> Headers:
    """Headers by name; what is sent twice is joined, as WSGI servers do."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        joined[name] = b", ".join((joined[name], value)) if name in joined else value
    return joined


def _echo(sent: Headers) -> Pairs:
    return [(_ATTRIBUTES, sent[_ATTRIBUTES])] if _ATTRIBUTES in sent else []


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


def _type(content_type: str) -> tuple[bytes, bytes]:
    return b"content-type", content_type.encode()


def _text(headers: Headers, name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
