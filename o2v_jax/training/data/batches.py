"""Which records make a batch, and their padded arrays."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Index
from o2v_jax.data.deduplicate import find_unique_rows, hash_rows
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.validate import resolve_max_seq_lens
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.scoring.buckets import fit_boundaries
from o2v_jax.training.data.dataset import Dataset

Examples: TypeAlias = npt.NDArray[np.integer]
Shifts: TypeAlias = npt.NDArray[np.int32]


class PairIndices(NamedTuple):
    """Records that give in0, and those that give in1; where the two differ, a negative."""

    first: Examples
    second: Examples

    @property
    def positive(self) -> npt.NDArray[np.bool_]:
        """Bool `[examples]`, which pairs were given."""
        return np.equal(self.first, self.second)


def draw_shifts(records: int, rate: int, rng: np.random.Generator) -> Shifts:
    """How far behind its in0 the in1 of every example stands: 0, then `rate` times a drawn number.

    Every record comes once as it is and `rate` times with another record's in1, drawn uniformly.
    `records` must be at least 2 where `rate` is above 0. One int32 an example is all that an epoch
    keeps of its negatives, for there may be very many.
    Source: the Object2Vec documentation (`negative_sampling_rate`); the original's logs show
    (1 + rate) x records examples an epoch.
    """
    shifts = np.zeros((records, 1 + rate), np.int32)
    if rate:
        shifts[:, 1:] = rng.integers(1, records, (records, rate), np.int32)
    return shifts.ravel()


def make_pairs(examples: Examples, shifts: Shifts, records: int) -> PairIndices:
    """The pairs of the given examples, numbered as in `shifts`; without shifts the records."""
    if not len(shifts):
        return PairIndices(examples, examples)
    first = examples // (len(shifts) // records)
    return PairIndices(first, (first + shifts[examples].astype(np.int64)) % records)


MAX_BUCKETS = 5  # a side: a training step is compiled for the pairs that occur
NO_SHIFTS = np.zeros(0, np.int32)
COUNTED = 2**16  # records whose objects are hashed together
SAMPLED = 1000  # batches, in random order, that the lengths are fitted to


class InBatch(NamedTuple):
    """What the in-batch objective knows of a batch's rows, for in0 and for in1.

    Attributes:
        groups: int32 `[batch]`, the same number for equal objects; 0 for a row that is no record.
        log_frequencies: float32 `[batch]`, the logarithm of each object's share of the training
            data, if the objective corrects for it.
    """

    groups: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
    log_frequencies: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None


class Batch(NamedTuple):
    """One padded batch.

    `in0` and `in1` are int32 `[batch, length]`, `labels` float32 `[batch]`, `weights` float32
    `[batch]`: 1 for a record, 0 for a row that only fills the batch. `in_batch` is there for the
    in-batch objective alone.
    """

    in0: npt.NDArray[np.int32]
    in1: npt.NDArray[np.int32]
    labels: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    in_batch: InBatch | None = None


@dataclass(frozen=True)
class DataLoader:
    """Cuts a data set into batches of `size` records, padded to a bucket of each side.

    With a `negative_rate` above 0, an epoch holds as many negatives for each record. `in_batch`
    says that the pairs of a batch are compared with one another, `log_frequencies` how frequent the
    objects of each record are, float32 `[records]` a side.
    """

    size: int
    bucket_width: int
    boundaries: tuple[tuple[int, ...], tuple[int, ...]]
    negative_rate: int = 0
    in_batch: bool = False
    log_frequencies: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None

    @classmethod
    def of(cls, config: Hyperparameters, data: Dataset) -> "DataLoader":
        """The loader of a configuration, its buckets fitted to the longest rows of batches."""
        rate = config.negative_sampling_rate
        bounds = resolve_max_seq_lens(config, None)
        plain = cls(config.mini_batch_size, config.bucket_width, ((), ()), rate)
        longest = np.zeros((2, max(bounds) + 1), np.int64)  # batches by the longest row of a side
        for pairs in islice(plain.draw_batches(data, np.random.default_rng(0)), SAMPLED):
            for side, rows in enumerate(pairs):
                longest[side, data.lengths(side)[rows].max()] += 1
        one, two = (
            fit_boundaries(counts, most, MAX_BUCKETS)
            for counts, most in zip(longest, bounds, strict=True)
        )
        if config.objective is None:
            return replace(plain, boundaries=(one, two))
        frequencies = None
        if config.objective.correct_popularity:
            frequencies = measure_log_frequencies(data, 0), measure_log_frequencies(data, 1)
        return replace(plain, boundaries=(one, two), in_batch=True, log_frequencies=frequencies)

    def count_examples(self, data: Dataset) -> int:
        """Examples in an epoch: the records and their negatives."""
        return len(data) * (1 + self.negative_rate)

    def iterate_epoch(
        self, data: Dataset, rng: np.random.Generator, first: int = 0
    ) -> Iterator[Batch]:
        """Every record once, and its negatives, in an order drawn from `rng`.

        The batches before the one numbered `first` are left out, which changes nothing in those
        that follow.
        """
        return (self.make_batch(data, pairs) for pairs in self.draw_batches(data, rng, first))

    def draw_batches(
        self, data: Dataset, rng: np.random.Generator, first: int = 0
    ) -> Iterator[PairIndices]:
        """The records of each batch of an epoch.

        With a bucket_width the records are grouped by length, in steps of that many tokens, before
        they are cut into batches; the batches then come in random order.
        """
        records, rate = len(data), self.negative_rate
        shifts = draw_shifts(records, rate, rng) if rate else NO_SHIFTS
        order = np.arange(
            self.count_examples(data), dtype=np.min_scalar_type(-self.count_examples(data))
        )
        rng.shuffle(order)
        if self.bucket_width:
            buckets = self.find_buckets(data, make_pairs(order, shifts, records))
            order = order[np.argsort(buckets, kind="stable")]
        for start in rng.permutation(np.arange(0, len(order), self.size))[first:]:
            yield make_pairs(order[start : start + self.size], shifts, records)

    def iterate_in_order(self, data: Dataset) -> Iterator[Batch]:
        """Every record once, sorted by length: for evaluation, where order changes nothing."""
        order = order_by_length(data)
        for start in range(0, len(data), self.size):
            rows = order[start : start + self.size]
            yield self.make_batch(data, PairIndices(rows, rows))

    def find_buckets(self, data: Dataset, pairs: PairIndices) -> npt.NDArray[np.integer]:
        """The length bucket of every pair, by its longer side."""
        longer = np.maximum(data.lengths(0)[pairs.first], data.lengths(1)[pairs.second])
        return -(-longer // self.bucket_width)

    def make_batch(self, data: Dataset, pairs: PairIndices) -> Batch:
        """The given pairs as one batch, negatives with label 0; rows of weight zero fill it."""
        labels, weights = np.zeros((2, self.size), np.float32)
        labels[: len(pairs.first)] = np.where(pairs.positive, data.labels[pairs.first], 0)
        weights[: len(pairs.first)] = 1.0
        sides = [data.rows(side, rows) for side, rows in enumerate(pairs)]
        in0, in1 = (
            _pad(rows, self.size, boundaries)
            for rows, boundaries in zip(sides, self.boundaries, strict=True)
        )
        known = self._describe_pairs(sides, pairs) if self.in_batch else None
        return Batch(in0, in1, labels, weights, known)

    def _describe_pairs(self, sides: list[Ragged], pairs: PairIndices) -> InBatch:
        first, second = (
            self._fill(1 + find_unique_rows(rows)[1].astype(np.int32)) for rows in sides
        )
        if self.log_frequencies is None:
            return InBatch((first, second))
        logq0, logq1 = (
            self._fill(values[rows])
            for values, rows in zip(self.log_frequencies, pairs, strict=True)
        )
        return InBatch((first, second), (logq0, logq1))

    def _fill(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values of records, and zeros for the rows that fill the batch."""
        return np.pad(values, (0, self.size - len(values)))


def order_by_length(data: Dataset) -> Index:
    """Records by the length of their longer side, int64 `[records]`."""
    order: Index = np.argsort(np.maximum(data.lengths(0), data.lengths(1)), kind="stable")
    return order


def measure_log_frequencies(data: Dataset, side: int) -> npt.NDArray[np.float32]:
    """The logarithm of the share of the records that have a record's object, float32 `[records]`.

    Objects are distinguished by 64-bit hashes: a collision changes a frequency, and nothing else.
    """
    starts = range(0, len(data), COUNTED)
    hashes = [
        hash_rows(data.rows(side, np.arange(start, min(start + COUNTED, len(data)))))
        for start in starts
    ]
    _, kind, counts = np.unique(np.concatenate(hashes), return_inverse=True, return_counts=True)
    shares: npt.NDArray[np.float32] = np.log(counts / len(data)).astype(np.float32)[kind]
    return shares


def _pad(rows: Ragged, size: int, boundaries: tuple[int, ...]) -> npt.NDArray[np.int32]:
    longest = int(rows.lengths.max(initial=1))
    return rows.pad(size, boundaries[int(np.searchsorted(boundaries, longest))])
