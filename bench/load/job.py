"""What is to be sent, and how it is handed to the process that sends it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

MARGIN_S = 60  # for the last answers


@dataclass(frozen=True)
class Job:
    """Load on one server of this machine.

    Attributes:
        port: of the server.
        connections: kept alive; in a closed loop each sends when its answer has come.
        seconds: how long to send.
        rate: requests a second in an open loop, at random times (a Poisson process); None: closed.
        requests: end after so many, if that is sooner.
        warm_s: answers of the first seconds do not count.
        ping_s: ask /ping every so many seconds on a connection of its own; 0: never.
        path: what is posted to.
    """

    port: int
    connections: int
    seconds: float
    rate: float | None = None
    requests: int | None = None
    warm_s: float = 0.0
    ping_s: float = 0.0
    path: str = "/invocations"


def run(job: Job, bodies: Sequence[bytes]) -> dict[str, Any]:
    """Does the job in a new process; returns its figures, see `bench.load.figures`.

    Args:
        job: what to do.
        bodies: of the requests, in turns; JSON without line breaks.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "bodies"
        file.write_bytes(b"\n".join(bodies))
        words = [sys.executable, "-m", "bench.load", json.dumps(asdict(job)), str(file)]
        root, limit = Path(__file__).parents[2], job.seconds + job.warm_s + MARGIN_S
        done = subprocess.run(words, cwd=root, check=True, capture_output=True, timeout=limit)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures
