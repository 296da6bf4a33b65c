"""Labels: numbers as they are, names given in order, or names found in the data."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np

from o2v_jax.array_types import Index
from o2v_jax.data.arrow import is_list_type
from o2v_jax.data.records import LabelValues
from o2v_jax.data.tokenizers import spell_integer
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import OutputLayer
from o2v_jax.preparation.cells import find_distinct
from o2v_jax.preparation.rows import Cells

MOST_CLASSES = 30  # the documentation's largest num_classes
_LARGEST = float(np.finfo(np.float32).max)  # training computes in float32


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
    final: Callable[[LabelValues], LabelValues] = np.asarray


class LabelReader(ABC):
    """One way of reading labels."""

    @abstractmethod
    def label(self, text: str) -> float:
        """Reads the label in a cell that has no blanks around it.

        Raises:
            ValueError: it is not a label; the message says why.
        """

    @abstractmethod
    def outcome(self, used: Used) -> Outcome:
        """What the labels turned out to be, once all are read."""


class Numbers(LabelReader):
    """Numbers as they are."""

    def __init__(self, output_layer: OutputLayer | None = None) -> None:
        self._output_layer = output_layer

    def label(self, text: str) -> float:  # noqa: D102 - as LabelReader says
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

    def outcome(self, used: Used) -> Outcome:  # noqa: D102 - as LabelReader says
        numbers = f"numbers in {used.low:g}..{used.high:g}"
        if self._are_classes(used.distinct):
            classes = max(int(used.high) + 1, 2)
            return Outcome(f"{numbers}, for {classes} classes", _softmax(classes))
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

    def label(self, text: str) -> float:  # noqa: D102 - as LabelReader says
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

    def outcome(self, used: Used) -> Outcome:  # noqa: D102 - as LabelReader says
        kept = sorted(name for name, at in self._numbers.items() if at in used.distinct)
        names = {name: number for number, name in enumerate(kept)}
        final = np.array([names.get(name, -1) for name in self._numbers], np.float64)
        return _name_classes(
            names, lambda labels: final[labels.astype(np.int64)], _describe_doubt(kept)
        )


class Classes(LabelReader):
    """Given names: the classes 0, 1, 2 ..."""

    def __init__(self, names: Sequence[str]) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}

    def label(self, text: str) -> float:  # noqa: D102 - as LabelReader says
        number = self._numbers.get(text, self._numbers.get(spell_integer(text)))
        if number is None:
            classes = ", ".join(self._numbers)
            raise ValueError(f"the label {text[:40]!r} is none of the classes {classes}")
        return number

    def outcome(self, used: Used) -> Outcome:  # noqa: ARG002, D102 - unused classes count too
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
    """Said where some names are numbers: they may be mistakes, or the other names may."""
    numbers = [name for name in names if parse_finite_number(name) is not None]
    return f"; {numbers[0]!r} is read as a name, as most labels are not numbers" if numbers else ""


def _name_classes(
    names: Mapping[str, int], final: Callable[[LabelValues], LabelValues], doubt: str = ""
) -> Outcome:
    text = ", ".join(f"{name}={number}" for name, number in names.items()) + doubt
    return Outcome(text, _softmax(len(names)), names, final)


def _softmax(classes: int) -> dict[str, str]:
    return {"output_layer": "softmax", "num_classes": str(max(classes, 2))}


_POSITIVES = "none, so that every record is a positive: train with a negative_sampling_rate"


@dataclass(frozen=True)
class LabelColumn:
    """Where labels come from.

    Attributes:
        column: a name, or a number from 0.
        classes: names of the classes 0, 1, 2 ...; none: numbers or names, as most labels of the
            first few thousand rows are.
        output_layer: what the labels are for; None: it follows from them.

    Raises:
        InputError: the classes cannot be such.
    """

    column: str
    classes: tuple[str, ...] = ()
    output_layer: OutputLayer | None = None

    def __post_init__(self) -> None:
        distinct_names = set(self.classes) - {""}
        fit = 2 <= len(distinct_names) <= MOST_CLASSES  # noqa: PLR2004 - as documented
        if self.classes and not (fit and len(distinct_names) == len(self.classes)):
            shown = ",".join(self.classes)
            raise InputError(f"classes {shown!r} must be 2 to {MOST_CLASSES} different names")
        if self.classes and self.output_layer == "mean_squared_error":
            raise InputError("classes are for output_layer=softmax, not for mean_squared_error")


class Labels:
    """Reads labels and remembers what they were.

    Args:
        source: where they come from, or None: every label is 1.
        again: whether vocabularies are given: then names of classes are to have the numbers that
            they had before, which the names here do not show.
    """

    def __init__(self, source: LabelColumn | None, *, again: bool = False) -> None:
        self._source = source
        self._again = again
        self._kind: LabelReader | None = None
        self._low, self._high = np.inf, -np.inf
        self._distinct: set[float] = set()

    def read(self, columns: tuple[Cells, ...], records: int) -> tuple[LabelValues, dict[int, str]]:
        """Labels, float64 `[records]`, and what is wrong, by row.

        Args:
            columns: the label column, or none: every label is 1.
            records: how many there are.

        Raises:
            InputError: the labels are lists, or names of too many classes.
        """
        if not columns:
            return np.ones(records, np.float64), {}
        if is_list_type(columns[0].type):
            raise InputError(f"the label column holds lists ({columns[0].type}), not labels")
        texts, which = find_distinct(columns[0])
        texts = [text.strip() for text in texts]
        self._kind = self._kind or self._kind_of(texts, np.bincount(which, minlength=len(texts)))
        parsed = [self._parse(text) for text in texts]
        faults = {row: parsed[text][1] for row, text in enumerate(which.tolist())}
        labels = np.array([label for label, _ in parsed], np.float64)[which]
        return labels, {row: fault for row, fault in faults.items() if fault}

    @property
    def column(self) -> str | None:
        """The column that labels come from, if they do."""
        return self._source.column if self._source else None

    def keep(self, labels: LabelValues) -> None:
        """Notes the labels of records that are kept."""
        self._low = float(labels.min(initial=self._low))
        self._high = float(labels.max(initial=self._high))
        if len(self._distinct) <= MOST_CLASSES:
            self._distinct.update(np.unique(labels)[: MOST_CLASSES + 1].tolist())

    def outcome(self) -> Outcome:
        """What the labels turned out to be; some must have been kept."""
        if self._source is None or self._kind is None:
            return Outcome(_POSITIVES, {})
        few = len(self._distinct) <= MOST_CLASSES
        distinct_labels = frozenset(self._distinct if few else ())
        return self._kind.outcome(Used(self._low, self._high, distinct_labels))

    def _parse(self, text: str) -> tuple[float, str]:
        """A label, and what is wrong with it."""
        if not text:
            return np.nan, "the label is empty"
        if self._kind is None:
            return np.nan, f"the label {text[:40]!r} is not a finite number"
        try:
            return self._kind.label(text), ""
        except ValueError as error:
            return np.nan, str(error)

    def _kind_of(self, texts: Sequence[str], counts: Index) -> LabelReader | None:
        """The kind of most labels, of the first one if as many are numbers as names.

        None where all are empty or, as nan and inf, neither a label's number nor a name.
        """
        source = self._source or LabelColumn("")
        if source.classes:
            return Classes(source.classes)
        numbers = [parse_finite_number(text) is not None for text in texts]
        names = [bool(text) and not is_number(text) for text in texts]
        in_favour = np.where(numbers, counts, 0).sum() - np.where(names, counts, 0).sum()
        first = next((at for at in range(len(texts)) if numbers[at] or names[at]), None)
        if source.output_layer == "mean_squared_error":
            return Numbers(source.output_layer)
        if first is None:
            return None
        if in_favour > 0 or (in_favour == 0 and numbers[first]):
            return Numbers(source.output_layer)
        if self._again:
            name = texts[names.index(True)]
            raise InputError(
                f"the labels are names ({name[:40]!r}), and with given vocabularies --classes "
                "must say which numbers they have"
            )
        return Names()
