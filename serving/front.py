"""Invocations and /ping on an event loop, in front of the Flask app.

A waiting request is a future here and a thread there: with a thread for each of 32 connections
Python's lock goes from thread to thread, and half as many requests of one pair are answered. Only
long bodies and the pieces of long answers take a thread, so that nobody waits for them.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias

from a2wsgi import WSGIMiddleware
from flask import Flask

from o2v_jax.errors import InputError
from serving import contract
from serving.batcher import PATIENCE_S
from serving.errors import answer_to
from serving.permits import REQUESTS, SPARE_THREADS, STREAMS
from serving.service import LONG_BODY, Answer, Service
from serving.waker import Waker
from serving.work import Work

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Headers: TypeAlias = Mapping[bytes, bytes]
Pairs: TypeAlias = Sequence[tuple[bytes, bytes]]

_INVOCATIONS = re.compile(r"(/endpoints/[^/]+)?/invocations")
_ATTRIBUTES = contract.CUSTOM_ATTRIBUTES.lower().encode()


class Front:
    """An ASGI application.

    Args:
        app: the Flask app, which answers everything else.
        service: the one that it answers with.
    """

    def __init__(self, app: Flask, service: Service) -> None:
        self._service, self._waker = service, Waker()
        adapter: Any = WSGIMiddleware  # whose types are narrower than WSGI's and ASGI's own
        self._other = adapter(app, workers=SPARE_THREADS)
        self._threads = ThreadPoolExecutor(REQUESTS, "long body")
        self._encoders = ThreadPoolExecutor(STREAMS, "long answer")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["method"] == "POST" and _INVOCATIONS.fullmatch(scope["path"]):
            await self._invocation(scope, receive, send)
        elif (scope["method"], scope["path"]) == ("GET", "/ping"):
            echo = _echo(_joined(scope["headers"]))
            await _send_whole(send, 200 if self._service.ready else 503, echo, b"")
        else:
            await self._other(scope, receive, send)

    async def _invocation(self, scope: Message, receive: Receive, send: Send) -> None:
        sent = _joined(scope["headers"])
        echo = _echo(sent)
        try:
            answer = await self._answer(sent, receive)
        except Exception as error:  # noqa: BLE001 - told and logged
            status, body, headers = answer_to(error, f"POST {scope['path']}")
            more = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            self._service.metrics.answered(status)
            await _send_whole(send, status, [_type("application/json"), *more, *echo], body)
            return
        self._service.metrics.answered(200)
        headers_out = [_type(str(answer.format)), *echo]
        try:
            if isinstance(answer.body, bytes):
                await _send_whole(send, 200, headers_out, answer.body)
            else:
                await self._send_pieces(receive, send, headers_out, answer.body)
        finally:
            answer.close()

    async def _answer(self, sent: Headers, receive: Receive) -> Answer:
        self._require_room()  # before the body is read, for a flood costs little then
        contract.require_plain(_text(sent, b"content-encoding"))
        body = await self._body(sent, receive)
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
            raise contract.BusyError

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

    async def _body(self, sent: Headers, receive: Receive) -> bytes:
        length = _text(sent, b"content-length")
        limit = self._service.settings.max_body_bytes
        with self._service.uploading():
            body, more = contract.Body(int(length) if length else None, limit), True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":  # or its chunks are malformed
                    raise InputError("the body broke off before its end")
                body.add(message.get("body", b""))
                more = message.get("more_body", False)
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
                    break
        finally:
            gone.cancel()


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


def _type(content_type: str) -> tuple[bytes, bytes]:
    return b"content-type", content_type.encode()


def _text(headers: Headers, name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
