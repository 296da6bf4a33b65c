"""Readers of labels: numbers as they are, names given in order, or names found in the data."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np

from o2v_jax.data.records import LabelValues
from o2v_jax.data.spelling import spell_integer
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import OutputLayer

MOST_CLASSES = 30  # the documentation's largest num_classes
_LARGEST = float(np.finfo(np.float32).max)  # training computes in float32


@dataclass(frozen=True)
class LabelSummary:
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
    final: Callable[[LabelValues], LabelValues] = np.asarray


class LabelReader(ABC):
    """One way of reading labels."""

    @abstractmethod
    def read(self, text: str) -> float:
        """Reads the label in a cell that has no blanks around it.

        Raises:
            ValueError: it is not a label; the message says why.
        """

    @abstractmethod
    def conclude(self, summary: LabelSummary) -> Outcome:
        """What the labels turned out to be, once all are read."""


class Numbers(LabelReader):
    """Numbers as they are."""

    def __init__(self, output_layer: OutputLayer | None = None) -> None:
        self._output_layer = output_layer

    def read(self, text: str) -> float:  # noqa: D102 - as LabelReader says
        number = parse_finite_number(text)
        if number is None:
            raise ValueError(f"the label {text[:40]!r} is not a finite number")
        if abs(number) > _LARGEST:
            raise ValueError(f"the label {text[:40]!r} is not a number that float32 can hold")
        if self._output_layer == "softmax" and number not in range(MOST_CLASSES):
            raise ValueError(
                f"the label {text[:40]!r} is not a class, an integer in 0..{MOST_CLASSES - 1}"
            )
        return number

    def conclude(self, summary: LabelSummary) -> Outcome:  # noqa: D102 - as LabelReader says
        numbers = f"numbers in {summary.low:g}..{summary.high:g}"
        if self._are_classes(summary.distinct):
            classes = max(int(summary.high) + 1, 2)
            return Outcome(f"{numbers}, for {classes} classes", _choose_softmax(classes))
        regression = {"output_layer": "mean_squared_error"}
        return Outcome(f"{numbers}, for regression", regression)

    def _are_classes(self, distinct: frozenset[float]) -> bool:
        if self._output_layer:
            return self._output_layer == "softmax"
        return look_like_classes(distinct)


class Names(LabelReader):
    """Any names; sorted by code point they are the classes."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def read(self, text: str) -> float:  # noqa: D102 - as LabelReader says
        if text.lower() == "nan":
            missing = "means a missing label: name it among the classes if it is one"
            raise ValueError(f"the label {text!r} {missing}")
        number = self._numbers.setdefault(text, len(self._numbers))
        if number >= MOST_CLASSES:
            shown = ", ".join(repr(name[:40]) for name in [*self._numbers][:3])
            raise InputError(
                f"the label column holds names ({shown} ...), and more of them than the "
                f"{MOST_CLASSES} classes there may be: is it the right column?"
            )
        return number

    def conclude(self, summary: LabelSummary) -> Outcome:  # noqa: D102 - as LabelReader says
        kept = sorted(name for name, at in self._numbers.items() if at in summary.distinct)
        names = {name: number for number, name in enumerate(kept)}
        final = np.array([names.get(name, -1) for name in self._numbers], np.float64)
        return _name_classes(
            names, lambda labels: final[labels.astype(np.int64)], _describe_doubt(kept)
        )


class Classes(LabelReader):
    """Given names: the classes 0, 1, 2 ..."""

    def __init__(self, names: Sequence[str]) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}

    def read(self, text: str) -> float:  # noqa: D102 - as LabelReader says
        number = self._numbers.get(text, self._numbers.get(spell_integer(text)))
        if number is None:
            classes = ", ".join(self._numbers)
            raise ValueError(f"the label {text[:40]!r} is none of the classes {classes}")
        return number

    def conclude(self, summary: LabelSummary) -> Outcome:  # noqa: ARG002, D102 - unused classes count too
        return _name_classes(self._numbers, np.asarray)


def look_like_classes(distinct: AbstractSet[float]) -> bool:
    """Whether numbers are most likely classes: 0 and 1, or every integer from 0 on."""
    return bool(distinct) and (distinct <= {0, 1} or distinct == {*range(len(distinct))})


def is_number(text: str) -> bool:
    """Whether a text spells a number rather than a name, be it one that no label can be."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def parse_finite_number(text: str) -> float | None:
    """The finite number that a text spells, or None."""
    number = float(text) if is_number(text) else math.nan
    return number if math.isfinite(number) and "_" not in text else None


def _describe_doubt(names: Sequence[str]) -> str:
    """A remark where some names are numbers: these, or the other names, may be mistakes."""
    numbers = [name for name in names if parse_finite_number(name) is not None]
    return f"; {numbers[0]!r} is read as a name, as most labels are not numbers" if numbers else ""


def _name_classes(
    names: Mapping[str, int], final: Callable[[LabelValues], LabelValues], doubt: str = ""
) -> Outcome:
    text = ", ".join(f"{name}={number}" for name, number in names.items()) + doubt
    return Outcome(text, _choose_softmax(len(names)), names, final)


def _choose_softmax(classes: int) -> dict[str, str]:
    return {"output_layer": "softmax", "num_classes": str(max(classes, 2))}
