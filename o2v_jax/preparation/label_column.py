"""The label column: which reader of labels it takes, and what its labels were."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from o2v_jax.array_types import Index
from o2v_jax.data.arrow import is_list_type
from o2v_jax.data.records import LabelValues
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import OutputLayer
from o2v_jax.preparation.cells import find_distinct
from o2v_jax.preparation.labels import (
    MOST_CLASSES,
    Classes,
    LabelReader,
    LabelSummary,
    Names,
    Numbers,
    Outcome,
    is_number,
    parse_finite_number,
)
from o2v_jax.preparation.rows import Cells

_POSITIVES = (
    "none, so that every record is a positive: train with a negative_sampling_rate, "
    "or with --objective in_batch"
)


@dataclass(frozen=True)
class LabelColumn:
    """Where labels come from.

    Attributes:
        column: a name, or a number from 0.
        classes: names of the classes 0, 1, 2 ...; none: numbers or names, as most labels of the
            first few thousand rows are.
        output_layer: what the labels are for; None: it follows from them.

    Raises:
        InputError: the classes are not different names, or are given for a regression.
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
        again: whether vocabularies are given. Names of classes must then have the numbers that they
            had before, which the names alone do not tell.
    """

    def __init__(self, source: LabelColumn | None, *, again: bool = False) -> None:
        self._source = source
        self._again = again
        self._reader: LabelReader | None = None
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
        counts = np.bincount(which, minlength=len(texts))
        self._reader = self._reader or self._choose_reader(texts, counts)
        parsed = [self._read_label(text) for text in texts]
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

    def conclude(self) -> Outcome:
        """What the labels turned out to be; some must have been kept."""
        if self._source is None or self._reader is None:
            return Outcome(_POSITIVES, {})
        few = len(self._distinct) <= MOST_CLASSES
        distinct_labels = frozenset(self._distinct if few else ())
        return self._reader.conclude(LabelSummary(self._low, self._high, distinct_labels))

    def _read_label(self, text: str) -> tuple[float, str]:
        """A label, and what is wrong with it."""
        if not text:
            return np.nan, "the label is empty"
        if self._reader is None:
            return np.nan, f"the label {text[:40]!r} is not a finite number"
        try:
            return self._reader.read(text), ""
        except ValueError as error:
            return np.nan, str(error)

    def _choose_reader(self, texts: Sequence[str], counts: Index) -> LabelReader | None:
        """A reader for what most labels are: numbers or names; if as many are, what the first is.

        None where every label is empty or, as nan and inf, neither a finite number nor a name.
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
                f"the labels are names ({name[:40]!r}): with given vocabularies, list them by "
                "--classes in the order of their numbers"
            )
        return Names()
