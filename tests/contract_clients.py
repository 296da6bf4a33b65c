"""Clients of both shims around the contract, in this process: the same calls, the same replies."""

import asyncio
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

from o2v_jax.server.asgi import Application
from o2v_jax.server.loading import create_service
from serving.app import create_app

SHIMS = ("flask", "asgi")
SECONDS = 60


@dataclass(frozen=True)
class Reply:
    """`headers` are by lower-case name."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Client:
    """`service` is the one behind the shim."""

    def request(self, method, path, body=b"", headers=()):
        with self.stream(method, path, body, headers) as stream:
            return Reply(stream.status, stream.headers, b"".join(stream))

    def wait_until_ready(self):
        end = time.monotonic() + SECONDS
        while not self.service.ready:
            assert time.monotonic() < end
            time.sleep(0.001)

    def get(self, path):
        return self.request("GET", path)

    def post(self, body, path="/invocations", headers=()):
        """What is not bytes is sent as JSON, without a Content-Type."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, body, headers)


class FlaskClient(Client):
    def __init__(self, *arguments, **settings):
        self.app = create_app(*arguments, **settings)
        self.service = self.app.extensions["o2v_jax"]

    @contextmanager
    def stream(self, method, path, body=b"", headers=()):
        """The status, headers and pieces of a response; the client leaves with the block."""
        pairs = [*headers.items()] if isinstance(headers, dict) else [*headers]
        # the client would take what stands between slashes for a host, and count the bytes itself
        lengths = [value for name, value in pairs if name == "content-length"]
        path, _, query = path.partition("?")
        said = {"PATH_INFO": path, "QUERY_STRING": query} | (
            {"CONTENT_LENGTH": lengths[0]} if lengths else {}
        )
        reply = self.app.test_client().open(
            method=method, data=body, headers=pairs, environ_overrides=said
        )
        try:
            found = {name.lower(): value for name, value in reply.headers.items()}
            yield Stream(reply.status_code, found, reply.iter_encoded())
        finally:
            reply.close()

    def close(self):
        self.service.close()


class AsgiClient(Client):
    """Runs the application on a loop in a thread of its own, where Granian would."""

    def __init__(self, *arguments, shim=None, **settings):
        self.service = create_service(*arguments, **settings)
        self.application = Application(self.service, **(shim or {}))
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    @contextmanager
    def stream(self, method, path, body=b"", headers=()):
        pairs = headers.items() if isinstance(headers, dict) else headers
        raw = [(name.lower().encode(), value.encode()) for name, value in pairs]
        path, _, query = path.partition("?")
        scope = {"type": "http", "method": method, "path": path, "headers": raw}
        scope["query_string"] = query.encode()
        exchange = Exchange(body)
        ends = self.run(exchange.run(self.application, scope))
        try:
            start = self.run(exchange.sent.get()).result(SECONDS) or ends.result(SECONDS)
            found = {name.decode(): value.decode() for name, value in start["headers"]}
            yield Stream(start["status"], found, self._pieces(exchange))
        finally:
            self.loop.call_soon_threadsafe(exchange.leave)
            ends.result(SECONDS)

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def _pieces(self, exchange):
        while message := self.run(exchange.sent.get()).result(SECONDS):
            yield message.get("body", b"")
            if not message.get("more_body"):
                return

    def close(self):
        self.service.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@dataclass(frozen=True)
class Stream:
    status: int
    headers: dict
    pieces: object

    def __iter__(self):
        return iter(self.pieces)


class Exchange:
    """One request, as an ASGI server has it: its body comes in two parts, and then nothing."""

    def __init__(self, body):
        self._parts = [body[:7], body[7:]]
        self._gone = asyncio.Event()
        self.sent = asyncio.Queue(1)  # so that nothing is sent before the client took the last

    async def run(self, application, scope):
        try:
            await application(scope, self._receive, self._send)
        finally:
            await self._send(None)

    async def _receive(self):
        if self._parts:
            part = self._parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._parts)}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if not self._gone.is_set():
            await self.sent.put(message)

    def leave(self):
        self._gone.set()
        while not self.sent.empty():
            self.sent.get_nowait()


def create_client(shim, *arguments, **settings):
    return {"flask": FlaskClient, "asgi": AsgiClient}[shim](*arguments, **settings)
