"""The servers that are measured: ours, LitServe, and one that does nothing."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench import options
from bench.peers import EXTRA, NotAvailableError
from bench.processes import Server, serve

# Environment of every server: what it prints must not wait in a buffer.
_UNBUFFERED = {"PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Batching:
    """How a peer forms batches.

    Attributes:
        size: requests at most.
        timeout_s: how long the first of them waits for more.
        fast_queue: of LitServe: requests pass through ZeroMQ instead of a multiprocessing queue.
    """

    size: int = 32
    timeout_s: float = 0.005
    fast_queue: bool = False

    def list_words(self) -> Sequence[object]:
        """On the command line."""
        fast = ["--fast-queue"] if self.fast_queue else []
        return ["--max-batch-size", self.size, "--batch-timeout", self.timeout_s, *fast]


# As documented: a batch no larger than what is under way at a time (here 32 connections), and a
# timeout of milliseconds that is worth what it adds to the latency.
CANDIDATES = {
    "litserve": (
        Batching(32, 0.002),
        Batching(32, 0.01),
        Batching(16, 0.002),
        Batching(32, 0.0),
        Batching(32, 0.002, fast_queue=True),
    ),
    "torchserve": (Batching(32, 0.002), Batching(32, 0.01), Batching(16, 0.002)),
}


def serve_ours(model: Path, device: str, **environment: str) -> AbstractContextManager[Server]:
    """`o2v serve`."""
    words = ("serve", "--model", model, "--port", "{port}")
    settings = {"JAX_PLATFORMS": options.get_platform(device)} | _UNBUFFERED | environment
    return serve("o2v_jax", *words, environment=settings)


def serve_litserve(model: Path, device: str, batching: Batching) -> AbstractContextManager[Server]:
    """LitServe with the same network in PyTorch.

    Raises:
        NotAvailableError: it is not installed.
    """
    for package in ("litserve", "torch"):
        if find_spec(package) is None:
            raise NotAvailableError(f"no module named {package}: {EXTRA} brings it")
    where = ("--device", "cpu" if device == "cpu" else "cuda")
    words = (model, "{port}", *batching.list_words(), *where)
    return serve("bench.peers.litserve_app", *words, ping="/health", environment=_UNBUFFERED)


def serve_trivial() -> AbstractContextManager[Server]:
    """Answers `{}` to everything, as fast as asyncio can."""
    return serve("bench.load.trivial", "{port}", environment=_UNBUFFERED)
