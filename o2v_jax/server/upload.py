"""A request's body as ASGI brings it: part by part, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from o2v_jax.errors import InputError
from o2v_jax.server.http import Body, StalledError

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Headers: TypeAlias = Mapping[bytes, bytes]


class Upload:
    """The body of one request.

    Args:
        receive: of ASGI.
        sent: the request's headers.

    Attributes:
        ended: whether all of it has come.
    """

    __slots__ = ("_held", "_receive", "_stalled", "ended")

    def __init__(self, receive: Receive, sent: Headers) -> None:
        self._receive, self.ended, self._stalled = receive, False, False
        self._held = b"expect" in sent  # until somebody reads, the client sends nothing

    async def receive(self) -> bytes:
        """The next part.

        Raises:
            InputError: the client has gone, or its chunks are malformed.
        """
        self._held = False
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise InputError("the body broke off before its end")
        self.ended = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    async def fill(self, body: Body, stall_s: float) -> None:
        """Reads all of the body.

        Raises:
            InputError: as `receive` and `Body.add`; `StalledError` once nothing came for so long.
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
            raise StalledError(f"nothing of the body came for {stall_s:g} s") from None
        finally:
            timer.cancel()

    def _stop(self, task: "asyncio.Task[Any] | None") -> None:
        if task is not None:
            self._stalled = True
            task.cancel()

    async def ends(self, seconds: float) -> bool:
        """Reads what is left, for nobody: whether that ends within so many seconds."""
        if not self._held:
            with suppress(TimeoutError, InputError):
                async with asyncio.timeout(seconds):
                    while not self.ended:
                        await self.receive()
        return self.ended
