"""Which records make a batch, and their padded arrays."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from o2v_jax.buckets import fitted_ladder
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.ragged import Ragged
from o2v_jax.training.data import Dataset

TRAINING_RUNGS = 5  # lengths a side: a training step is compiled for the pairs that occur


class Batch(NamedTuple):
    """One padded batch.

    `in0` and `in1` are int32 `[batch, length]`, `labels` float32 `[batch]`, `weights` float32
    `[batch]`: 1 for a record, 0 for a row that only fills the batch.
    """

    in0: npt.NDArray[np.int32]
    in1: npt.NDArray[np.int32]
    labels: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Batcher:
    """Cuts a data set into batches of `size` records, padded to a rung of each side's ladder."""

    size: int
    bucket_width: int
    ladders: tuple[tuple[int, ...], tuple[int, ...]]

    @classmethod
    def of(cls, config: Hyperparameters, data: Dataset) -> "Batcher":
        """The batcher of a configuration; its ladders fit the lengths in `data`."""
        longest = config.encoder(0).max_seq_len, config.encoder(1).max_seq_len
        sides = zip(data.histograms(), longest, strict=True)
        one, two = (fitted_ladder(counts, most, TRAINING_RUNGS) for counts, most in sides)
        return cls(config.mini_batch_size, config.bucket_width, (one, two))

    def count(self, data: Dataset) -> int:
        """Batches in an epoch."""
        return -(-len(data) // self.size)

    def epoch(self, data: Dataset, rng: np.random.Generator) -> Iterator[Batch]:
        """Every record once, in an order drawn from `rng`.

        With a bucket_width the records are grouped by length, in steps of that many tokens, before
        they are cut into batches; the batches then come in random order.
        """
        groups = self.bucket(data)
        order = np.lexsort((rng.permutation(len(data)), groups))
        for start in rng.permutation(np.arange(0, len(data), self.size)):
            yield self.padded(data, order[start : start + self.size])

    def in_order(self, data: Dataset) -> Iterator[Batch]:
        """Every record once, sorted by length: for evaluation, where order changes nothing."""
        order = np.argsort(np.maximum(data.in0.lengths, data.in1.lengths), kind="stable")
        for start in range(0, len(data), self.size):
            yield self.padded(data, order[start : start + self.size])

    def bucket(self, data: Dataset) -> npt.NDArray[np.int64]:
        """The length bucket of every record, by its longer side; all 0 without a bucket_width."""
        if self.bucket_width == 0:
            return np.zeros(len(data), np.int64)
        return -(-np.maximum(data.in0.lengths, data.in1.lengths) // self.bucket_width)

    def padded(self, data: Dataset, rows: npt.NDArray[np.int64]) -> Batch:
        """The given records as one batch; rows of weight zero fill it."""
        labels, weights = np.zeros((2, self.size), np.float32)
        labels[: len(rows)] = data.labels[rows]
        weights[: len(rows)] = 1.0
        in0, in1 = (
            _padded(side.take(rows), self.size, ladder)
            for side, ladder in zip((data.in0, data.in1), self.ladders, strict=True)
        )
        return Batch(in0, in1, labels, weights)


def _padded(rows: Ragged, size: int, ladder: tuple[int, ...]) -> npt.NDArray[np.int32]:
    longest = int(rows.lengths.max(initial=1))
    return rows.padded(size, ladder[int(np.searchsorted(ladder, longest))])
