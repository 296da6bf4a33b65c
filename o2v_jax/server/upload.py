"""The receiving half of an ASGI connection: a request's body, and whether its client is there."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

from o2v_jax.errors import InputError
from o2v_jax.server.body import BodyBuffer
from o2v_jax.server.errors import StalledError
from o2v_jax.server.http import Request

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]

_FRAMING = {"content-length", "transfer-encoding"}


class Upload:
    """The body of one request, and whether its client is still there.

    Args:
        receive: of ASGI.
        request: its head.

    Attributes:
        ended: whether all of the body was received.
    """

    __slots__ = ("_disconnected", "_expects", "_receive", "_stalled", "ended")

    def __init__(self, receive: Receive, request: Request) -> None:
        self._receive = receive
        # until somebody reads, the client sends nothing
        self._expects = "expect" in request.headers
        self._stalled = False
        self._disconnected: asyncio.Future[Message] | None = None
        # what GET announces no body for has none: /ping should not wait to learn that
        self.ended = request.method == "GET" and _FRAMING.isdisjoint(request.headers)

    async def receive(self) -> bytes:
        """Receives the next part.

        Raises:
            InputError: the client disconnected, or its chunks are malformed.
        """
        self._expects = False
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise InputError("the body broke off before its end")
        self.ended = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    async def fill(self, body: BodyBuffer, stall_s: float) -> None:
        """Receives all of the body.

        Raises:
            InputError: as `receive` and `BodyBuffer.add`.
            StalledError: nothing arrived for `stall_s` seconds.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        # asyncio.timeout would cost every request a percent of its time
        timer = loop.call_later(stall_s, self._stop, task)
        try:
            body.add(await self.receive())
            while not self.ended:
                timer.cancel()
                timer = loop.call_later(stall_s, self._stop, task)
                body.add(await self.receive())
        except asyncio.CancelledError:
            if task is None or not self._stalled:
                raise
            task.uncancel()
            raise StalledError(f"no part of the body arrived for {stall_s:g} s") from None
        finally:
            timer.cancel()

    def _stop(self, task: "asyncio.Task[Any] | None") -> None:
        if task is not None:
            self._stalled = True
            task.cancel()

    async def discard(self, seconds: float) -> bool:
        """Receives the rest of the body; returns whether it ended within `seconds`."""
        if not (self.ended or self._expects):
            with suppress(TimeoutError, InputError):
                async with asyncio.timeout(seconds):
                    while not self.ended:
                        await self.receive()
        return self.ended

    def watch_client(self) -> "asyncio.Future[Message]":
        """A future that is done once the client has left; for after the body has ended."""
        if self._disconnected is None:
            self._disconnected = asyncio.ensure_future(self._receive())
        return self._disconnected

    @property
    def has_left(self) -> bool:
        """Whether the client is known to have left: only where `disconnected` was called."""
        return self._disconnected is not None and self._disconnected.done()

    def close(self) -> None:
        """Stops looking whether the client is there."""
        if self._disconnected is not None:
            self._disconnected.cancel()
