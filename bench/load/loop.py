"""Sends the requests of a job and notes when each was answered. One thread, one selector."""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count, cycle
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import NamedTuple

from bench.load.connection import Connection, now
from bench.load.job import Job

_PING = b"GET /ping HTTP/1.1\r\nHost: o2v\r\n\r\n"


class Note(NamedTuple):
    """One request: when it was due, sent and answered, and the status (0: connection lost)."""

    due: float
    sent: float
    answered: float
    status: int


class Load:
    """A job while it is done.

    Attributes:
        notes: of the requests.
        pings: of the questions to /ping.
    """

    def __init__(self, job: Job, bodies: Sequence[bytes]) -> None:
        self.job, self._requests = job, cycle(_make_request(job.path, body) for body in bodies)
        self.notes: list[Note] = []
        self.pings: list[Note] = []
        self._selector = DefaultSelector()
        self._idle = deque(Connection(job.port) for _ in range(job.connections))
        self._ping = Connection(job.port) if job.ping_s else None
        for connection in self._idle:
            self._selector.register(connection, EVENT_READ)
        if self._ping:
            self._selector.register(self._ping, EVENT_READ)
        self._waiting: deque[float] = deque()  # due times of what no connection was free for
        self.sent, self._draining = 0, False

    def run(self) -> None:
        """Sends until the time is over or all is sent, then waits for the last answers."""
        began = now()
        end = began + self.job.warm_s + self.job.seconds
        due = self._iterate_arrivals(began)
        upcoming, ping = next(due), began
        while (at := now()) < end and not self._has_sent_all():
            while upcoming <= at and not self._has_sent_all():
                self._waiting.append(upcoming)
                upcoming = next(due)
                self._start()
            if self._ping and at >= ping and not self._ping.busy:
                self._ping.send(_PING, at)
                ping = max(ping + self.job.ping_s, at)
            self._turn(min(upcoming, end, ping if self._ping else end) - now())
        self._drain()

    @property
    def unsent(self) -> int:
        """Requests that were due and for which no connection became free."""
        return len(self._waiting)

    def _iterate_arrivals(self, began: float) -> Iterator[float]:
        """When requests are due; in a closed loop only the first of each connection."""
        if self.job.rate is None:
            yield from [began] * self.job.connections
            yield from (float("inf") for _ in count())
        assert self.job.rate
        rng, at = random.Random(0), began  # noqa: S311 - traffic, no secrets
        while True:
            at += rng.expovariate(self.job.rate)
            yield at

    def _has_sent_all(self) -> bool:
        return self.job.requests is not None and self.sent >= self.job.requests

    def _start(self) -> None:
        while self._waiting and self._idle:
            # the connection that was used last: as few as the load needs
            self._send(self._idle.pop(), self._waiting.popleft())

    def _send(self, connection: Connection, due: float) -> None:
        self.sent += 1
        connection.send(next(self._requests), due)
        if connection.unsent:
            self._selector.modify(connection, EVENT_READ | EVENT_WRITE)

    def _turn(self, timeout: float) -> None:
        for key, events in self._selector.select(max(0.0, timeout)):
            connection = key.fileobj
            assert isinstance(connection, Connection)
            if events & EVENT_WRITE:
                connection.write()
                if not connection.unsent:
                    self._selector.modify(connection, EVENT_READ)
            if events & EVENT_READ:
                self._read(connection)

    def _read(self, connection: Connection) -> None:
        was_busy = connection.busy
        status = connection.read()
        if status is None:
            return
        notes = self.pings if connection is self._ping else self.notes
        if was_busy:
            notes.append(Note(connection.due, connection.sent, now(), status))
        if status == 0 or connection.must_close:
            self._selector.unregister(connection)
            connection.reset()
            self._selector.register(connection, EVENT_READ)
        if connection is not self._ping and (was_busy or status):
            self._send_next(connection)

    def _send_next(self, connection: Connection) -> None:
        """In a closed loop the next request at once, else whatever waits."""
        if self.job.rate is None and not self._has_sent_all() and not self._draining:
            self._send(connection, now())
        else:
            self._idle.append(connection)
            self._start()

    def _drain(self, timeout_s: float = 30.0) -> None:
        self._draining = True
        unsent, self._waiting = self._waiting, deque()
        end = now() + timeout_s
        while len(self._idle) < self.job.connections and now() < end:
            self._turn(0.1)
        self._waiting = unsent


def _make_request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: o2v\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
