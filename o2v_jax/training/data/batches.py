"""Which records make a batch, and their padded arrays."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Index
from o2v_jax.data.deduplicate import find_unique_rows
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.validate import resolve_max_seq_lens
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.scoring.buckets import fit_boundaries
from o2v_jax.training.data.dataset import Dataset
from o2v_jax.training.data.frequencies import LogFrequencies, measure_log_frequencies

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
SAMPLED = 1000  # batches, in random order, that the lengths are fitted to
SLOTS_STEP = 8  # the rows for hard negatives are a multiple of it, or as many as there may be


class InBatch(NamedTuple):
    """What the in-batch objective knows of a batch's rows, for in0 and for in1.

    Attributes:
        groups: int32 `[rows]`, the same number for equal objects; 0 for a row that only fills the
            batch.
        log_frequencies: float32 `[rows]`, the logarithm of each object's share of the training
            data, if the objective corrects for it.
    """

    groups: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
    log_frequencies: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None


class Batch(NamedTuple):
    """One padded batch.

    `in0` and `in1` are int32 `[batch, length]`, `labels` float32 `[batch]`, `weights` float32
    `[batch]`: 1 for a record, 0 for a row that only fills the batch. `in_batch` is there for the
    in-batch objective alone. Of data with hard negatives, its `in1` has more rows: behind those of
    the records the negatives of all of them.
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
    objects are. A batch has `slots` rows for hard negatives, of which a record fills at most
    `negatives_per_pair`.
    """

    size: int
    bucket_width: int
    boundaries: tuple[tuple[int, ...], tuple[int, ...]]
    negative_rate: int = 0
    in_batch: bool = False
    log_frequencies: LogFrequencies | None = None
    slots: int = 0
    negatives_per_pair: int = 0

    @classmethod
    def of(cls, config: Hyperparameters, data: Dataset) -> "DataLoader":
        """The loader of a configuration, its buckets fitted to the longest rows of batches."""
        rate, objective = config.negative_sampling_rate, config.objective
        most = objective.negatives_per_pair if objective is not None and len(data.negatives) else 0
        bare = cls(
            *(config.mini_batch_size, config.bucket_width, ((), ()), rate),
            in_batch=objective is not None,
            negatives_per_pair=most,
        )
        fitted = bare._fit(data, resolve_max_seq_lens(config, None))
        if objective is None or not objective.correct_popularity:
            return fitted
        return replace(fitted, log_frequencies=measure_log_frequencies(data, most))

    def _fit(self, data: Dataset, bounds: tuple[int, int]) -> "DataLoader":
        """This loader, with boundaries and rows for negatives that suit the batches of the data."""
        longest = np.zeros((2, max(bounds) + 1), np.int64)  # batches by the longest row of a side
        slots = 0
        for pairs in islice(self.draw_batches(data, np.random.default_rng(0)), SAMPLED):
            for side, rows in enumerate(pairs):
                longest[side, self._measure_lengths(data, side, rows).max()] += 1
            if self.negatives_per_pair:
                counts = data.negative_counts[pairs.first]
                slots = max(slots, int(np.minimum(counts, self.negatives_per_pair).sum()))
        one, two = (
            fit_boundaries(counts, most, MAX_BUCKETS)
            for counts, most in zip(longest, bounds, strict=True)
        )
        slots = min(-(-slots // SLOTS_STEP) * SLOTS_STEP, self.size * self.negatives_per_pair)
        return replace(self, boundaries=(one, two), slots=slots)

    def _measure_lengths(self, data: Dataset, side: int, rows: Examples) -> npt.NDArray[np.int32]:
        """Tokens of records on a side; where hard negatives stand behind in1, of the longest."""
        if side == 0 or not self.negatives_per_pair:
            return data.lengths(side)[rows]
        return np.maximum(data.lengths(1)[rows], data.longest_negatives[rows])

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
        turn = int(rng.integers(2**31)) if self.slots else 0
        return (self.make_batch(data, pairs, turn) for pairs in self.draw_batches(data, rng, first))

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
        lengths = (self._measure_lengths(data, side, rows) for side, rows in enumerate(pairs))
        longer = np.maximum(*lengths)
        return -(-longer // self.bucket_width)

    def make_batch(self, data: Dataset, pairs: PairIndices, turn: int = 0) -> Batch:
        """The given pairs as one batch, negatives with label 0; rows of weight zero fill it.

        `turn` says which hard negatives of a record that has too many of them take part.
        """
        labels, weights = np.zeros((2, self.size), np.float32)
        labels[: len(pairs.first)] = np.where(pairs.positive, data.labels[pairs.first], 0)
        weights[: len(pairs.first)] = 1.0
        in0, in1 = (data.rows(side, rows) for side, rows in enumerate(pairs))
        chosen = self._choose_negatives(data, pairs, turn)
        if self.slots:
            in1 = Ragged.concatenate([in1, data.take_negatives(chosen)])
        padded = _pad(in0, self.size, self.boundaries[0]), self._pad_candidates(in1, len(in0))
        known = self._describe_pairs(in0, in1, pairs, chosen) if self.in_batch else None
        return Batch(*padded, labels, weights, known)

    def _choose_negatives(self, data: Dataset, pairs: PairIndices, turn: int) -> Index:
        """Rows of hard negatives, as many as there is room for."""
        if not self.slots:
            return np.zeros(0, np.int64)
        chosen = data.choose_negatives(pairs.first, self.negatives_per_pair, turn)
        return chosen[: self.slots]

    def _pad_candidates(self, in1: Ragged, records: int) -> npt.NDArray[np.int32]:
        """The in1 of records and behind them hard negatives, both padded to one length."""
        if not self.slots:
            return _pad(in1, self.size, self.boundaries[1])
        length = _choose_length(in1, self.boundaries[1])
        of_records, negatives = in1.rows(0, records), in1.rows(records, len(in1))
        return np.concatenate(
            [of_records.pad(self.size, length), negatives.pad(self.slots, length)]
        )

    def _describe_pairs(
        self, in0: Ragged, in1: Ragged, pairs: PairIndices, chosen: Index
    ) -> InBatch:
        first, second = (1 + find_unique_rows(rows)[1].astype(np.int32) for rows in (in0, in1))
        groups = _fill(first, self.size), self._fill_candidates(second, len(in0))
        if self.log_frequencies is None:
            return InBatch(groups)
        known = self.log_frequencies
        logq1 = np.concatenate([known.in1[pairs.second], known.negatives[chosen]])
        logq0 = _fill(known.in0[pairs.first], self.size)
        return InBatch(groups, (logq0, self._fill_candidates(logq1, len(in0))))

    def _fill_candidates(self, values: npt.NDArray[Any], records: int) -> npt.NDArray[Any]:
        """Values of the rows of in1, with zeros for those that fill the batch."""
        of_records, of_negatives = values[:records], values[records:]
        return np.concatenate([_fill(of_records, self.size), _fill(of_negatives, self.slots)])


def order_by_length(data: Dataset) -> Index:
    """Records by the length of their longer side, int64 `[records]`."""
    order: Index = np.argsort(np.maximum(data.lengths(0), data.lengths(1)), kind="stable")
    return order


def _pad(rows: Ragged, size: int, boundaries: tuple[int, ...]) -> npt.NDArray[np.int32]:
    return rows.pad(size, _choose_length(rows, boundaries))


def _choose_length(rows: Ragged, boundaries: tuple[int, ...]) -> int:
    longest = int(rows.lengths.max(initial=1))
    return boundaries[int(np.searchsorted(boundaries, longest))]


def _fill(values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Values, and zeros for the rows that fill a batch."""
    return np.pad(values, (0, size - len(values)))
