"""Servers under test: processes on free ports, ended by their ids, and the memory they hold."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 120.0
OK = 200
_HELD = ("VmRSS", "RssAnon", "VmHWM")  # KiB, in /proc/PID/status


@dataclass(frozen=True)
class Memory:
    """Of a process and all that it started, in MB (1e6 bytes).

    Attributes:
        rss: resident, shared pages and mapped files included.
        anonymous: resident and backed by no file.
        peak: the sum of what each process held at most.
    """

    rss: float
    anonymous: float
    peak: float


class Server:
    """A process that listens on a port of this machine.

    Attributes:
        port: where it listens.
        began: when it was started, in seconds of `time.perf_counter`.
        ping: path that answers 200 once it is ready.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path, ping: str) -> None:
        self._process, self.port, self._log, self.ping = process, port, log, ping
        self.began = time.perf_counter()

    def post(self, body: bytes, timeout: float = TIMEOUT_S, *, path: str = "/invocations") -> bytes:
        """The answer to a request.

        Raises:
            OSError: nobody listens, or the status is not 200.
        """
        return self._send("POST", path, body, timeout)

    def get(self, path: str) -> bytes:
        """What a path answers; raises as `post`."""
        return self._send("GET", path, None, TIMEOUT_S)

    def wait_until_ready(self) -> float:
        """Seconds since the start until /ping answered 200."""
        return self._wait(lambda: self.get(self.ping))

    def wait_until_warm(self) -> None:
        """Waits until it is ready and, where it tells of that, no longer compiles in background."""
        self.wait_until_ready()
        while self.is_warming():
            time.sleep(0.1)

    def is_warming(self) -> bool:
        """Whether its metrics say that some programs are not compiled yet."""
        try:
            return b"o2v_warm 0" in self.get("/metrics")
        except OSError:  # of a server without metrics
            return False

    def wait_for_answer(self, body: bytes) -> tuple[float, bytes]:
        """Seconds since the start until a request was answered with 200, and the answer."""
        answers: list[bytes] = []
        return self._wait(lambda: answers.append(self.post(body))), answers[-1]

    def measure_memory(self) -> Memory:
        """What it holds now."""
        held = [_read_memory(pid) for pid in self.list_processes()]
        return Memory(*(round(sum(values), 1) for values in zip(*held, strict=True)))

    def list_processes(self) -> list[int]:
        """Ids of the process and of all that it started."""
        found, todo = [], [self._process.pid]
        while todo:
            found.append(pid := todo.pop())
            for file in Path(f"/proc/{pid}/task").glob("*/children"):
                with suppress(OSError):
                    todo += map(int, file.read_text().split())
        return found

    def read_log(self) -> str:
        """What it said."""
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        """Ends it and whatever of it is left."""
        started = self.list_processes()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        for pid in started:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _wait(self, ask: Callable[[], object]) -> float:
        end = time.perf_counter() + TIMEOUT_S
        while True:
            try:
                ask()
            except (OSError, http.client.HTTPException):
                self._require_starting(end)
            else:
                return time.perf_counter() - self.began

    def _require_starting(self, end: float) -> None:
        if self._process.poll() is not None or time.perf_counter() > end:
            raise RuntimeError(f"the server did not start:\n{self.read_log()[-4000:]}")
        time.sleep(0.005)

    def _send(self, method: str, path: str, body: bytes | None, timeout: float) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            answer = reply.read()
        finally:
            connection.close()
        if reply.status != OK:
            raise OSError(f"{method} {path} was answered {reply.status}: {answer[:500]!r}")
        return answer


@contextmanager
def serve(
    module: str,
    *words: object,
    ping: str = "/ping",
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Runs `python -m module WORDS`, with {port} among them replaced, until the block ends."""
    port = port or find_free_port()
    command = [sys.executable, "-m", module, *(str(w).format(port=port) for w in words)]
    with TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=out, cwd=ROOT, env=os.environ | dict(environment or {})
            )
        server = Server(process, port, log, ping)
        try:
            yield server
        finally:
            server.stop()


def find_free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _read_memory(pid: int) -> tuple[float, float, float]:
    """Resident, anonymous and peak MB of one process; zeros if it has ended."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        said = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
        held = [1.024e-3 * int(said.get(name, ["0"])[0]) for name in _HELD]
        return held[0], held[1], held[2]
    return 0.0, 0.0, 0.0
