"""Metrics of a regression: errors, explained variance and correlations."""

from dataclasses import dataclass

import numpy as np

from o2v_jax.evaluation.intervals import (
    Estimate,
    Values,
    estimate_mean,
    estimate_pearson,
    estimate_r2,
    estimate_spearman,
    take_root,
)

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class MeanBaseline:
    """What always predicting the mean of these labels would reach."""

    prediction: float
    root_mean_squared_error: float


@dataclass(frozen=True, eq=False)
class Regression:
    """The figures of a regression.

    Attributes:
        metrics: by name, of all records.
        baseline: for comparison.
        residuals: quantiles of prediction minus label, by share of the records.
    """

    metrics: dict[str, Estimate]
    baseline: MeanBaseline
    residuals: dict[str, float]


def regress(predicted: Values, labels: Values) -> Regression:
    """The figures of predictions `[records]`, at least one, beside the labels."""
    residuals = predicted - labels
    squared = estimate_mean(residuals**2, lowest=0.0)
    quantiles = np.quantile(residuals, QUANTILES)
    return Regression(
        {
            "mean_squared_error": squared,
            "root_mean_squared_error": take_root(squared),
            "mean_absolute_error": estimate_mean(np.abs(residuals), lowest=0.0),
            "mean_residual": estimate_mean(residuals),
            "r2": estimate_r2(labels, predicted),
            "pearson": estimate_pearson(labels, predicted),
            "spearman": estimate_spearman(labels, predicted),
        },
        MeanBaseline(float(labels.mean()), float(labels.std())),
        {f"{share:g}": float(q) for share, q in zip(QUANTILES, quantiles, strict=True)},
    )
