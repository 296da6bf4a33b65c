"""Negative sampling: records that nobody gave, made from those that were given."""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Index: TypeAlias = npt.NDArray[np.integer]
Shifts: TypeAlias = npt.NDArray[np.int32]


class Pairs(NamedTuple):
    """Records that give in0, and those that give in1; where the two differ, a negative."""

    first: Index
    second: Index

    @property
    def positive(self) -> npt.NDArray[np.bool_]:
        """Bool `[examples]`, which pairs were given."""
        return np.equal(self.first, self.second)


def drawn_shifts(records: int, rate: int, rng: np.random.Generator) -> Shifts:
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


def pairs_of(examples: Index, shifts: Shifts, records: int) -> Pairs:
    """The pairs of the given examples, numbered as in `shifts`; without shifts the records."""
    if not len(shifts):
        return Pairs(examples, examples)
    first = examples // (len(shifts) // records)
    return Pairs(first, (first + shifts[examples].astype(np.int64)) % records)
