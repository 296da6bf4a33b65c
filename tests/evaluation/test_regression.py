"""Figures of regressions: equal to scikit-learn's, and None where they are not defined."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from o2v_jax.evaluation.regression import regress


def draw(records, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 6, records).astype(np.float64)
    predicted = 3 + 0.6 * (labels - 3) + rng.normal(0, 0.7, records)
    return predicted.astype(np.float32).astype(np.float64), labels


@pytest.fixture(scope="module")
def drawn():
    return draw(400)


@pytest.fixture(scope="module")
def found(drawn):
    return regress(*drawn)


def test_metrics_are_scikit_learns_and_scipys(drawn, found):
    predicted, labels = drawn
    expected = {
        "mean_squared_error": metrics.mean_squared_error(labels, predicted),
        "root_mean_squared_error": metrics.root_mean_squared_error(labels, predicted),
        "mean_absolute_error": metrics.mean_absolute_error(labels, predicted),
        "mean_residual": float(np.mean(predicted - labels)),
        "r2": metrics.r2_score(labels, predicted),
        "pearson": float(np.corrcoef(labels, predicted)[0, 1]),
        "spearman": float(np.corrcoef(stats.rankdata(labels), stats.rankdata(predicted))[0, 1]),
    }
    values = {name: estimate.value for name, estimate in found.metrics.items()}
    assert values == pytest.approx(expected, abs=1e-6)


def test_every_interval_holds_its_figure_and_narrows(found):
    more = regress(*draw(4000, seed=1))
    for name, estimate in found.metrics.items():
        assert estimate.low < estimate.value < estimate.high
        many = more.metrics[name]
        assert many.high - many.low < 0.6 * (estimate.high - estimate.low)


def test_intervals_are_about_those_of_the_bootstrap(drawn, found):
    rows = np.random.default_rng(0).integers(0, 400, (400, 400))
    predicted, labels = (values[rows] for values in drawn)
    errors = np.mean((predicted - labels) ** 2, axis=1)
    ranks = [stats.rankdata(values, axis=1) for values in (predicted, labels)]
    drawings = {
        "root_mean_squared_error": np.sqrt(errors),
        "r2": 1 - errors / labels.var(axis=1),
        "pearson": correlate(predicted, labels),
        "spearman": correlate(*ranks),
    }
    for name, values in drawings.items():
        low, high = np.quantile(values, (0.025, 0.975))
        estimate, near = found.metrics[name], 0.25 * (high - low)
        assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=near), name


def correlate(some, others):
    """The correlation of each row."""
    one, other = (each - each.mean(axis=1, keepdims=True) for each in (some, others))
    return (one * other).mean(axis=1) / (one.std(axis=1) * other.std(axis=1))


def test_the_baseline_and_the_residuals(drawn, found):
    predicted, labels = drawn
    assert found.baseline.prediction == labels.mean()
    assert found.baseline.root_mean_squared_error == pytest.approx(
        metrics.root_mean_squared_error(labels, np.full(400, labels.mean()))
    )
    assert found.residuals["0.5"] == pytest.approx(np.median(predicted - labels))
    assert [*found.residuals.values()] == sorted(found.residuals.values())


UNDEFINED = {"r2", "pearson", "spearman"}


@pytest.mark.parametrize(
    ("predicted", "labels", "undefined", "note"),
    [
        ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0], UNDEFINED, "all labels are equal"),
        ([0.1, 0.1, 0.1], [1.0, 2.0, 3.0], {"pearson", "spearman"}, "all predictions are equal"),
        ([1.0], [2.0], UNDEFINED, "there is only one record"),
    ],
)
def test_what_is_not_defined_says_why(predicted, labels, undefined, note):
    found = regress(np.array(predicted), np.array(labels))
    none = {name: each.note for name, each in found.metrics.items() if each.value is None}
    assert none == dict.fromkeys(undefined, note)


def test_a_perfect_model():
    labels = np.arange(9.0)
    found = regress(labels, labels)
    assert found.metrics["root_mean_squared_error"].value == 0
    assert [found.metrics[name].value for name in ("r2", "pearson", "spearman")] == pytest.approx(
        [1, 1, 1]
    )


def test_two_records_have_correlations_without_intervals():
    found = regress(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    for name in ("pearson", "spearman"):
        assert found.metrics[name].value == pytest.approx(1)
        assert found.metrics[name].low is None
