"""Figures with their 95 % intervals: what they might be on other records of the same kind."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

Values: TypeAlias = npt.NDArray[np.float64]
Counts: TypeAlias = npt.NDArray[np.int64]

CONFIDENCE = 0.95
RESAMPLES = 2000
METHODS = {
    "Wilson": "Wilson's score interval of a proportion",
    "Student": "Student's t interval of a mean; of RMSE the square roots of that of MSE",
    "bootstrap": f"percentiles of {RESAMPLES:,} bootstrap resamples of the records, seed 0",
    "Fisher": "Fisher's transformation; of Spearman's with Bonett and Wright's variance, 2000",
    "delta": "the delta method: the figure's normal approximation",
}
_NORMAL = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
_ROUNDING = 2e-13  # of float64, when a mean is subtracted
_FISHER_FEWEST = 4  # records from which on the variance of the transformed correlation is finite


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; None where something is not defined.

    Attributes:
        value: the figure.
        low: where the interval begins.
        high: where it ends.
        method: a name in `METHODS`; empty without an interval.
        note: why there is no value.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""
    note: str = ""


def make_estimate(value: float, low: float, high: float, method: str) -> Estimate:
    """An estimate whose interval is left out where it is not finite, or has no width."""
    if not (isfinite(low) and isfinite(high) and low < high):
        return Estimate(float(value))
    return Estimate(float(value), float(low), float(high), method)


def estimate_proportion(successes: int, trials: int, note: str = "") -> Estimate:
    """A proportion with Wilson's interval; without trials it has no value, and `note` says why."""
    if not trials:
        return Estimate(None, note=note)
    low, high = stats.binomtest(int(successes), int(trials)).proportion_ci(
        CONFIDENCE, method="wilson"
    )
    return make_estimate(successes / trials, low, high, "Wilson")


def estimate_mean(values: Values, *, lowest: float = -np.inf, highest: float = np.inf) -> Estimate:
    """A mean with Student's t interval, which does not leave `lowest` to `highest`."""
    mean = float(values.mean())
    if len(values) == 1 or is_constant(values):
        return Estimate(mean)
    low, high = stats.t.interval(
        CONFIDENCE, len(values) - 1, loc=mean, scale=float(stats.sem(values))
    )
    return make_estimate(mean, max(lowest, float(low)), min(highest, float(high)), "Student")


def take_root(estimate: Estimate) -> Estimate:
    """The square root of an estimate that is not negative."""
    value, low, high = (
        None if end is None else end**0.5 for end in (estimate.value, estimate.low, estimate.high)
    )
    return replace(estimate, value=value, low=low, high=high)


def estimate_pearson(labels: Values, predicted: Values) -> Estimate:
    """Pearson's correlation; none of a constant."""
    if note := explain_no_correlation(labels, predicted):
        return Estimate(None, note=note)
    found = stats.pearsonr(labels, predicted)
    if len(labels) < _FISHER_FEWEST:
        return Estimate(float(found.statistic))
    low, high = found.confidence_interval(CONFIDENCE)
    return make_estimate(found.statistic, low, high, "Fisher")


def estimate_spearman(labels: Values, predicted: Values) -> Estimate:
    """Spearman's rank correlation; none of a constant."""
    if note := explain_no_correlation(labels, predicted):
        return Estimate(None, note=note)
    value = float(stats.spearmanr(labels, predicted).statistic)
    if len(labels) < _FISHER_FEWEST:
        return Estimate(value)
    within = min(max(value, -1 + _ROUNDING), 1 - _ROUNDING)  # atanh(1) is infinite
    spread = _NORMAL * np.sqrt((1 + value**2 / 2) / (len(labels) - 3))
    low, high = np.tanh(np.arctanh(within) - spread), np.tanh(np.arctanh(within) + spread)
    return make_estimate(value, low, high, "Fisher")


def estimate_r2(labels: Values, predicted: Values) -> Estimate:
    """The share of the labels' variance that is explained; none of constant labels.

    R² = 1 - E/V of the mean squared error E and the variance V. By the delta method its variance is
    that of the mean of (E v - V e) / V², for a record's squared error e and squared deviation v.
    """
    if is_constant(labels):
        return Estimate(None, note=ONE_RECORD if len(labels) == 1 else EQUAL_LABELS)
    errors, deviations = (predicted - labels) ** 2, (labels - labels.mean()) ** 2
    error, variance = errors.mean(), deviations.mean()
    influence = (error * deviations - variance * errors) / variance**2
    spread = _NORMAL * float(stats.sem(influence))
    value = 1 - error / variance
    return make_estimate(value, value - spread, min(1.0, value + spread), "delta")


ONE_RECORD = "there is only one record"
EQUAL_LABELS = "all labels are equal"
EQUAL_PREDICTIONS = "all predictions are equal"


def explain_no_correlation(labels: Values, predicted: Values) -> str:
    """Why there is no correlation between the two; nothing if there is one."""
    if len(labels) == 1:
        return ONE_RECORD
    if is_constant(labels):
        return EQUAL_LABELS
    return EQUAL_PREDICTIONS if is_constant(predicted) else ""


def is_constant(values: Values) -> bool:
    """Whether all values are equal, as far as float64 can tell."""
    return bool(np.ptp(values) <= _ROUNDING * np.abs(values).max())


def bootstrap_counts(counts: Counts, statistic: Callable[[Counts], Values]) -> list[Estimate]:
    """The figures that a statistic gives of counts, with their bootstrap intervals.

    Records of the same cell are alike, so drawing records with replacement is drawing the counts of
    the cells. This takes as long for a million records as for a hundred.

    Args:
        counts: records by cell, of any shape.
        statistic: a function of counts `[..., *shape]` that gives `[..., figures]`, NaN where a
            figure is not defined.
    """
    rng, records = np.random.default_rng(0), int(counts.sum())
    drawn = rng.multinomial(records, counts.ravel() / records, size=RESAMPLES)
    figures = statistic(drawn.reshape(RESAMPLES, *counts.shape))
    return [_estimate_percentiles(*each) for each in zip(statistic(counts), figures.T, strict=True)]


def _estimate_percentiles(value: float, drawn: Values) -> Estimate:
    tail = (1 - CONFIDENCE) / 2
    defined = drawn[np.isfinite(drawn)]
    if not isfinite(value) or not len(defined):
        return Estimate(None)
    low, high = np.quantile(defined, (tail, 1 - tail))
    return make_estimate(value, low, high, "bootstrap")
