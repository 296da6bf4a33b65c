"""What every peer can do, and the batches that it works in."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from o2v_jax import Ragged

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

BATCHES = {"cpu": (64, 256), "gpu": (256, 1024, 4096)}


class NotAvailableError(Exception):
    """This peer cannot run here; says why."""


class Peer(ABC):
    """Scores pairs with one model, each side in batches of rows of like length.

    Attributes:
        name: of the peer, in results.
        batches: the sizes to choose from.
        batch: rows a batch.
    """

    name: ClassVar[str]
    batches: tuple[int, ...] = BATCHES["cpu"]
    batch: int = BATCHES["cpu"][-1]

    @abstractmethod
    def encode(self, side: int, rows: Ragged) -> Any:
        """Encodings `[rows, enc_dim]`, in the order given, where the peer keeps arrays."""

    @abstractmethod
    def compare(self, enc0: Any, enc1: Any) -> Floats:
        """Float32 `[records, outputs]` on the host; one row of `enc0` stands beside all others."""

    def score(self, in0: Ragged, in1: Ragged) -> Floats:
        """Float32 `[records, outputs]` on the host."""
        return self.compare(self.encode(0, in0), self.encode(1, in1))

    def score_one(self, in0: Ragged, in1: Ragged) -> Floats:
        """The same where all rows of `in0` are equal, which a careful caller encodes once."""
        return self.compare(self.encode(0, in0.take(np.zeros(1, np.int64))), self.encode(1, in1))

    def tune(self, in0: Ragged, in1: Ragged) -> None:
        """Chooses the batch size that is fastest on this data."""
        self.batch = min(self.batches, key=lambda batch: self._measure_seconds(batch, in0, in1))

    def _measure_seconds(self, batch: int, in0: Ragged, in1: Ragged) -> float:
        self.batch = batch
        self.score(in0, in1)
        began = time.perf_counter()
        self.score(in0, in1)
        return time.perf_counter() - began


def iterate_sorted_batches(rows: Ragged, batch: int) -> Iterator[tuple[Rows, Ragged]]:
    """Batches of rows of like length, the longest first, with the rows' places."""
    order = np.argsort(-rows.lengths, kind="stable")
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        yield places, rows.take(places)
