"""One kept-alive connection: sends a request, and sees where its answer ends."""

import re
import socket
import time

BUFFER = 1 << 18
_LENGTH = re.compile(rb"\r\ncontent-length:\s*([0-9]+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:\s*close", re.IGNORECASE)


class Connection:
    """At most one request is under way.

    Attributes:
        due: when the request should have been sent, in seconds of `now`.
        sent: when it was.
        busy: whether an answer is awaited.
        unsent: what of the request the socket did not take yet.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.due = self.sent = 0.0
        self.busy, self.unsent = False, memoryview(b"")
        self.connect()

    def connect(self) -> None:
        """Connects, once more if it was connected before."""
        self.socket = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._received, self._end, self._head = bytearray(), -1, b""

    def fileno(self) -> int:
        """For selectors."""
        return self.socket.fileno()

    def send(self, request: bytes, due: float) -> None:
        """Starts a request."""
        self.due, self.sent = due, now()
        self.busy, self.unsent = True, memoryview(request)
        self.write()

    def write(self) -> None:
        """Sends as much as the socket takes."""
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError:  # closed by the server: reading finds out
            self.unsent = memoryview(b"")

    def read(self) -> int | None:
        """The status of the answer if it is complete, 0 if the connection broke, else None."""
        try:
            part = self.socket.recv(BUFFER)
        except BlockingIOError:
            return None
        except OSError:
            part = b""
        self._received += part
        if not part:
            return 0
        return self._take_status() if self._is_complete() else None

    def reset(self) -> None:
        """Connects anew; the request is given up."""
        self.socket.close()
        self.busy, self.unsent = False, memoryview(b"")
        self.connect()

    @property
    def must_close(self) -> bool:
        """Whether the server said that this was the last answer."""
        return bool(_CLOSE.search(self._head))

    def _is_complete(self) -> bool:
        if self._end < 0:
            head = self._received.find(b"\r\n\r\n")
            if head < 0:
                return False
            self._head = bytes(self._received[: head + 2])
            length = _LENGTH.search(self._head)
            # an answer in chunks ends with an empty one
            self._end = head + 4 + int(length[1]) if length else 0
        if self._end:
            return len(self._received) >= self._end
        return self._received.endswith(b"\r\n0\r\n\r\n")

    def _take_status(self) -> int:
        status = int(self._head[9:12])
        self._received.clear()
        self._end, self.busy = -1, False
        return status


def now() -> float:
    """Seconds of the clock that everything is measured with."""
    return time.perf_counter()
