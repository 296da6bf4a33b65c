"""The ways of reading labels: numbers as they are, any names, given names."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import OutputLayer
from o2v_jax.preparation.whole import whole

MOST_CLASSES = 30  # the documentation's largest num_classes
_LARGEST = float(np.finfo(np.float32).max)  # training computes in float32

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Used:
    """The labels that records have.

    Attributes:
        low: the lowest.
        high: the highest.
        distinct: the different ones, if there are at most `MOST_CLASSES`; else empty.
    """

    low: float
    high: float
    distinct: frozenset[float]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the labels of a preparation turned out to be.

    Attributes:
        text: for a person.
        hyperparameters: those that follow.
        names: name -> class, where labels were names.
        final: from labels as they were read to those to write, float64 `[records]` each.
    """

    text: str
    hyperparameters: Mapping[str, str]
    names: Mapping[str, int] = field(default_factory=dict)
    final: Callable[[Floats], Floats] = np.asarray


class Kind(ABC):
    """One way of reading labels."""

    @abstractmethod
    def label(self, text: str) -> float:
        """The label that a cell without blanks around it stands for.

        Raises:
            ValueError: it stands for none; the message says why.
        """

    @abstractmethod
    def outcome(self, used: Used) -> Outcome:
        """What the labels turned out to be, once all are read."""


class Numbers(Kind):
    """Numbers as they are."""

    def __init__(self, output_layer: OutputLayer | None = None) -> None:
        self._output_layer = output_layer

    def label(self, text: str) -> float:  # noqa: D102 - as Kind says
        number = number_in(text)
        if number is None:
            raise ValueError(f"the label {text[:40]!r} is not a finite number")
        if abs(number) > _LARGEST:
            raise ValueError(f"the label {text[:40]!r} is not a number that float32 can hold")
        if self._output_layer == "softmax" and number not in range(MOST_CLASSES):
            raise ValueError(
                f"the label {text[:40]!r} is not a class, an integer in 0..{MOST_CLASSES - 1}"
            )
        return number

    def outcome(self, used: Used) -> Outcome:  # noqa: D102 - as Kind says
        numbers = f"numbers in {used.low:g}..{used.high:g}"
        if self._are_classes(used.distinct):
            classes = max(int(used.high) + 1, 2)
            return Outcome(f"{numbers}, for {classes} classes", _softmax(classes))
        regression = {"output_layer": "mean_squared_error"}
        return Outcome(f"{numbers}, for regression", regression)

    def _are_classes(self, distinct: frozenset[float]) -> bool:
        """Unless it was said: 0 and 1, or every integer from 0 on."""
        if self._output_layer:
            return self._output_layer == "softmax"
        return bool(distinct) and (distinct <= {0, 1} or distinct == {*range(len(distinct))})


class Names(Kind):
    """Any names; sorted by code point they are the classes."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def label(self, text: str) -> float:  # noqa: D102 - as Kind says
        if text.lower() == "nan":
            missing = "stands for a missing label: name it in --classes if it is a class"
            raise ValueError(f"the label {text!r} {missing}")
        number = self._numbers.setdefault(text, len(self._numbers))
        if number >= MOST_CLASSES:
            shown = ", ".join(repr(name[:40]) for name in [*self._numbers][:3])
            raise InputError(
                f"the label column holds names ({shown} ...), and more of them than the "
                f"{MOST_CLASSES} classes there may be: is it the right column?"
            )
        return number

    def outcome(self, used: Used) -> Outcome:  # noqa: D102 - as Kind says
        kept = sorted(name for name, at in self._numbers.items() if at in used.distinct)
        names = {name: number for number, name in enumerate(kept)}
        final = np.array([names.get(name, -1) for name in self._numbers], np.float64)
        return _named(names, lambda labels: final[labels.astype(np.int64)], _doubt(kept))


class Classes(Kind):
    """Given names: the classes 0, 1, 2 ..."""

    def __init__(self, names: Sequence[str]) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}

    def label(self, text: str) -> float:  # noqa: D102 - as Kind says
        number = self._numbers.get(text, self._numbers.get(whole(text)))
        if number is None:
            classes = ", ".join(self._numbers)
            raise ValueError(f"the label {text[:40]!r} is none of the classes {classes}")
        return number

    def outcome(self, used: Used) -> Outcome:  # noqa: ARG002, D102 - unused classes count too
        return _named(self._numbers, np.asarray)


def is_number(text: str) -> bool:
    """Whether a text spells a number rather than a name, be it one that no label can be."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def number_in(text: str) -> float | None:
    """The finite number that a text spells, or None."""
    number = float(text) if is_number(text) else math.nan
    return number if math.isfinite(number) and "_" not in text else None


def _doubt(names: Sequence[str]) -> str:
    """Said where some names are numbers: they may be mistakes, or the other names may."""
    numbers = [name for name in names if number_in(name) is not None]
    return f"; {numbers[0]!r} is read as a name, as most labels are no numbers" if numbers else ""


def _named(names: Mapping[str, int], final: Callable[[Floats], Floats], doubt: str = "") -> Outcome:
    text = ", ".join(f"{name}={number}" for name, number in names.items()) + doubt
    return Outcome(text, _softmax(len(names)), names, final)


def _softmax(classes: int) -> dict[str, str]:
    return {"output_layer": "softmax", "num_classes": str(max(classes, 2))}
