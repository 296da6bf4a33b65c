"""Metrics of a classifier: confusion matrix, precision, recall, F1 and calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Floats, Index
from o2v_jax.evaluation.intervals import (
    Counts,
    Estimate,
    Values,
    bootstrap_counts,
    estimate_mean,
    estimate_proportion,
)

BINS = 10
_LEAST = float(np.finfo(np.float32).tiny)  # a probability of 0 is one that float32 cannot hold
_NEAR = 0.5


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is recognised.

    Attributes:
        name: of the class.
        support: records that have this label.
        predicted: records for which the model chose this class.
        precision: how many of those it chose have the label; none if it never chose it.
        recall: how many of those with the label it found; none if no record has it.
        f1: the harmonic mean of both; none if the class neither occurs nor is predicted.
    """

    name: str
    support: int
    predicted: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class CalibrationBin:
    """Records whose predicted class got a probability in (low, high].

    Attributes:
        low: the lower end of the bin.
        high: the upper end.
        records: how many there are.
        confidence: the mean probability of the predicted class; None of no records.
        accuracy: how often the predicted class was right.
    """

    low: float
    high: float
    records: int
    confidence: float | None
    accuracy: Estimate


@dataclass(frozen=True)
class MajorityBaseline:
    """What always choosing the most frequent class would reach."""

    name: str
    accuracy: float


@dataclass(frozen=True, eq=False)
class Classification:
    """The figures of a classifier.

    Attributes:
        metrics: by name, of all records.
        baseline: for comparison.
        classes: a line a class, in their order.
        confusion: records `[label][predicted]`.
        calibration: bins of the predicted class's probability, in order.
    """

    metrics: dict[str, Estimate]
    baseline: MajorityBaseline
    classes: tuple[ClassFigures, ...]
    confusion: list[list[int]]
    calibration: tuple[CalibrationBin, ...]


def find_losses(scores: Floats, labels: Index) -> Values:
    """The cross-entropy of each record in nats, from the probabilities `[records, classes]`."""
    right = scores[np.arange(len(labels)), labels].astype(np.float64)
    others = np.maximum(scores.sum(axis=1, dtype=np.float64) - right, 0)
    # near 1 float32 has few digits for the right class, but all of them for the others
    near = right > _NEAR
    return np.where(near, -np.log1p(-others * near), -np.log(np.maximum(right, _LEAST)))


def classify(scores: Floats, labels: Index, names: Sequence[str]) -> Classification:
    """The figures of a classifier's probabilities.

    Args:
        scores: `[records, classes]`, at least one record.
        labels: the right class of each record.
        names: of the classes.
    """
    predicted = scores.argmax(axis=1)
    confidence = scores.max(axis=1).astype(np.float64)
    confusion = count_confusion(labels, predicted, len(names))
    support = confusion.sum(axis=1)
    bins = calibrate(confidence, predicted == labels)
    most = int(support.argmax())
    return Classification(
        {
            "cross_entropy": estimate_mean(find_losses(scores, labels), lowest=0.0),
            "accuracy": estimate_proportion(int(np.trace(confusion)), len(labels)),
            **_estimate_macros(confusion),
            "expected_calibration_error": Estimate(find_calibration_error(bins)),
        },
        MajorityBaseline(names[most], float(support[most] / len(labels))),
        tuple(_describe_classes(confusion, names)),
        confusion.tolist(),
        bins,
    )


def count_confusion(labels: Index, predicted: npt.NDArray[np.integer], classes: int) -> Counts:
    """The confusion matrix, int64 `[classes, classes]`: records by label and by prediction."""
    cells = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes)


def find_f1(confusion: Counts) -> Values:
    """F1 of each class `[..., classes]`, NaN where a class neither occurs nor is predicted."""
    correct, support, predicted = _count_by_class(confusion)
    return _divide(2 * correct, support + predicted)


def find_macros(confusion: Counts) -> Values:
    """Macro precision, recall and F1 `[..., 3]`: means over the classes that occur in either way.

    As in scikit-learn, a precision or recall that is not defined counts as 0.
    """
    correct, support, predicted = _count_by_class(confusion)
    present = ((support + predicted) > 0).sum(axis=-1)
    rates = (_divide(correct, predicted), _divide(correct, support), find_f1(confusion))
    return np.stack([np.nansum(rate, axis=-1) / present for rate in rates], axis=-1)


def calibrate(confidence: Values, correct: npt.NDArray[np.bool_]) -> tuple[CalibrationBin, ...]:
    """Bins of equal width of the predicted class's probability, with how often it was right."""
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence)
    records = np.bincount(bins, minlength=BINS)
    right = np.bincount(bins, weights=correct, minlength=BINS)
    means = _divide(np.bincount(bins, weights=confidence, minlength=BINS), records)
    return tuple(
        CalibrationBin(
            at / BINS,
            (at + 1) / BINS,
            int(records[at]),
            float(means[at]) if records[at] else None,
            estimate_proportion(int(right[at]), int(records[at])),
        )
        for at in range(BINS)
    )


def find_calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """The expected calibration error: how far confidence and accuracy are apart, by records.

    Guo et al., On Calibration of Modern Neural Networks, 2017, equation 3.
    """
    gaps = [
        each.records * abs(each.confidence - each.accuracy.value)
        for each in bins
        if each.confidence is not None and each.accuracy.value is not None
    ]
    return sum(gaps) / sum(each.records for each in bins)


def _estimate_macros(confusion: Counts) -> dict[str, Estimate]:
    estimates = bootstrap_counts(confusion, find_macros)
    return dict(zip(("macro_precision", "macro_recall", "macro_f1"), estimates, strict=True))


def _describe_classes(confusion: Counts, names: Sequence[str]) -> list[ClassFigures]:
    correct, support, predicted = _count_by_class(confusion)
    f1s = bootstrap_counts(confusion, find_f1)
    return [
        ClassFigures(
            name,
            int(support[at]),
            int(predicted[at]),
            estimate_proportion(correct[at], predicted[at], "the class is never predicted"),
            estimate_proportion(correct[at], support[at], "no record has this label"),
            f1s[at],
        )
        for at, name in enumerate(names)
    ]


def _count_by_class(confusion: Counts) -> tuple[Counts, Counts, Counts]:
    """Records of each class: recognised, with this label, and predicted."""
    correct = np.diagonal(confusion, axis1=-2, axis2=-1)
    return correct, confusion.sum(axis=-1), confusion.sum(axis=-2)


def _divide(dividend: npt.NDArray[np.number], divisor: Counts) -> Values:
    """The quotients, NaN where the divisor is 0."""
    quotients = np.full(divisor.shape, np.nan)
    np.divide(dividend, divisor, out=quotients, where=divisor > 0)
    return quotients
