"""Which part of the data a record belongs to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from o2v_jax.data.ragged import Index
from o2v_jax.errors import InputError

Part: TypeAlias = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)

_DEALT: tuple[Part, ...] = ("validation", "test", "train")  # in the order of the bounds between


@dataclass(frozen=True)
class Split:
    """Shares of the records that go, each by itself and at random, to validation and to test.

    Attributes:
        validation: a share of 0 to 1, not 1.
        test: the same; the two leave something to train on.
        seed: of the random numbers.

    Raises:
        InputError: the shares are not such.
    """

    validation: float = 0.0
    test: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        total = self.validation + self.test
        if min(self.validation, self.test) < 0 or not total < 1:
            shares = f"validation {self.validation:g} and test {self.test:g}"
            raise InputError(f"{shares} must be shares of at least 0 that sum to less than 1")

    def dealer(self) -> "Dealer":
        """Deals records out, from the first one on."""
        return Dealer(self)


class Dealer:
    """Says of record after record which part it goes to; how they are chunked makes no odds."""

    def __init__(self, split: Split) -> None:
        self._random = np.random.default_rng(split.seed)
        self._bounds = np.array([split.validation, split.validation + split.test])

    def deal(self, records: int) -> Iterator[tuple[Part, Index]]:
        """Each part and which of the next records it gets, int64, in their order."""
        place = np.searchsorted(self._bounds, self._random.random(records), side="right")
        for at, part in enumerate(_DEALT):
            yield part, np.flatnonzero(place == at)
