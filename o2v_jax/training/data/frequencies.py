"""How frequent objects are in the training data, for the in-batch objective to correct for it."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Floats, Index
from o2v_jax.data.deduplicate import Hashes, hash_rows
from o2v_jax.data.ragged import Ragged
from o2v_jax.training.data.dataset import Dataset

HASHED = 2**16  # records whose objects are hashed together

Weights: TypeAlias = npt.NDArray[np.float64]


class LogFrequencies(NamedTuple):
    """Logarithms of the share that each object has among those that it competes with.

    Attributes:
        in0: float32 `[records]`.
        in1: float32 `[records]`.
        negatives: float32 `[negatives]`, for each row of a data set's hard negatives.
    """

    in0: Floats
    in1: Floats
    negatives: Floats


def measure_log_frequencies(data: Dataset, negatives_per_pair: int = 0) -> LogFrequencies:
    """Log frequencies of the objects of each record.

    An in1 and a hard negative are counted alike, for both compete: a negative as often as it is
    expected to take part in an epoch. Objects are distinguished by 64-bit hashes: a collision
    changes a frequency, and nothing else.

    Args:
        data: the records.
        negatives_per_pair: how many negatives of a record take part in an epoch; 0: there are none.
    """
    ones = np.ones(len(data))
    hashes0, hashes1 = (_hash_records(data, side) for side in (0, 1))
    in0 = _measure_log_shares(hashes0, ones)
    negatives = np.zeros(len(data.negatives), np.float32)
    if not negatives_per_pair:
        return LogFrequencies(in0, _measure_log_shares(hashes1, ones), negatives)
    counts = data.negative_counts
    rows = data.choose_negatives(np.arange(len(data)), int(counts.max()))  # all of them
    taking_part = np.repeat(np.minimum(1, negatives_per_pair / np.maximum(counts, 1)), counts)
    hashes = np.concatenate([hashes1, _hash_slices(rows, data.take_negatives)])
    shares = _measure_log_shares(hashes, np.concatenate([ones, taking_part]))
    negatives[rows] = shares[len(data) :]
    return LogFrequencies(in0, shares[: len(data)], negatives)


def _hash_records(data: Dataset, side: int) -> Hashes:
    return _hash_slices(np.arange(len(data)), lambda part: data.rows(side, part))


def _hash_slices(rows: Index, take: Callable[[Index], Ragged]) -> Hashes:
    """A hash a row, of few at a time, so that memory stays flat."""
    starts = range(0, len(rows), HASHED)
    hashes = [hash_rows(take(rows[start : start + HASHED])) for start in starts]
    return np.concatenate([np.zeros(0, np.uint64), *hashes])


def _measure_log_shares(hashes: Hashes, weights: Weights) -> Floats:
    """The logarithm of the share of the weights that equal hashes have, float32 `[rows]`."""
    _, kind = np.unique(hashes, return_inverse=True)
    shares: Floats = np.log(np.bincount(kind, weights) / weights.sum()).astype(np.float32)
    return shares[kind]
