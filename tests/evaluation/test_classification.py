"""Figures of classifiers: equal to scikit-learn's, and defined where they can be."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn import metrics
from sklearn.calibration import calibration_curve

from o2v_jax.evaluation.classification import classify, find_losses

NAMES = ["a", "b", "c", "d"]
CLASSES = range(len(NAMES))


def draw(records, seed=0, skill=1.5):
    """Probabilities that favour the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(NAMES), records)
    logits = rng.normal(0, 1.5, (records, len(NAMES)))
    logits[np.arange(records), labels] += skill
    return softmax(logits, axis=1).astype(np.float32), labels


@pytest.fixture(scope="module")
def drawn():
    return draw(700)


@pytest.fixture(scope="module")
def found(drawn):
    return classify(*drawn, NAMES)


def test_metrics_are_scikit_learns(drawn, found):
    scores, labels = drawn
    predicted = scores.argmax(axis=1)
    macro = metrics.precision_recall_fscore_support(labels, predicted, average="macro")
    expected = {
        "cross_entropy": metrics.log_loss(labels, scores),
        "accuracy": metrics.accuracy_score(labels, predicted),
        "macro_precision": macro[0],
        "macro_recall": macro[1],
        "macro_f1": macro[2],
    }
    values = {name: estimate.value for name, estimate in found.metrics.items()}
    calibration_error = values.pop("expected_calibration_error")
    assert values == pytest.approx(expected, abs=1e-6)
    assert 0 < calibration_error < 0.2
    assert found.confusion == metrics.confusion_matrix(labels, predicted).tolist()


def test_figures_of_each_class_are_scikit_learns(drawn, found):
    scores, labels = drawn
    expected = metrics.precision_recall_fscore_support(labels, scores.argmax(axis=1))
    for name in ("precision", "recall", "f1"):
        figures = [getattr(each, name).value for each in found.classes]
        place = ("precision", "recall", "f1").index(name)
        assert figures == pytest.approx(expected[place].tolist(), abs=1e-6)
    assert [each.support for each in found.classes] == expected[3].tolist()
    assert [each.name for each in found.classes] == NAMES


def test_the_reliability_table_is_scikit_learns(drawn, found):
    scores, labels = drawn
    confidence, right = scores.max(axis=1).astype(float), scores.argmax(axis=1) == labels
    accuracy, mean = calibration_curve(right, confidence, n_bins=10)
    bins = [each for each in found.calibration if each.records]
    assert [each.accuracy.value for each in bins] == pytest.approx(accuracy.tolist(), abs=1e-6)
    assert [each.confidence for each in bins] == pytest.approx(mean.tolist(), abs=1e-6)
    gaps = sum(each.records * abs(a - m) for each, a, m in zip(bins, accuracy, mean, strict=True))
    error = found.metrics["expected_calibration_error"].value
    assert error == pytest.approx(gaps / len(labels), abs=1e-6)


def test_every_interval_holds_its_figure(found):
    estimates = [*found.metrics.values()]
    estimates += [e for each in found.classes for e in (each.precision, each.recall, each.f1)]
    intervals = [estimate for estimate in estimates if estimate.method]
    assert len(intervals) == len(estimates) - 1, "the calibration error has none"
    for estimate in intervals:
        assert estimate.low < estimate.value < estimate.high
    assert {estimate.method for estimate in intervals} == {"Student", "Wilson", "bootstrap"}


def test_more_records_narrow_every_interval(found):
    more = classify(*draw(7000, seed=1), NAMES)
    for name, few in found.metrics.items():
        many = more.metrics[name]
        if few.method:
            assert many.high - many.low < 0.6 * (few.high - few.low)


def test_the_baseline_is_the_most_frequent_class(drawn, found):
    counts = np.bincount(drawn[1])
    assert found.baseline.name == NAMES[counts.argmax()]
    assert found.baseline.accuracy == counts.max() / 700


def test_a_class_that_never_occurs_has_no_recall():
    scores, labels = draw(60)
    labels[labels == 3] = 0
    scores[:10] = np.eye(4, dtype=np.float32)[3]  # but it is predicted
    found = classify(scores, labels, NAMES)
    expected = metrics.precision_recall_fscore_support(
        labels, scores.argmax(axis=1), labels=CLASSES, average="macro", zero_division=0
    )
    last = found.classes[3]
    assert (last.support, last.recall.value, last.recall.note) == (
        0,
        None,
        "no record has this label",
    )
    assert (last.precision.value, last.f1.value) == (0, 0)
    names = "macro_precision", "macro_recall", "macro_f1"
    assert [found.metrics[name].value for name in names] == pytest.approx(expected[:3], abs=1e-6)


def test_a_class_that_neither_occurs_nor_is_predicted_counts_for_nothing():
    scores, labels = draw(60)
    labels[labels == 3] = 0
    scores[:, 3] = 0
    found = classify(scores, labels, NAMES)
    predicted = scores.argmax(axis=1)
    macro = metrics.f1_score(labels, predicted, average="macro")
    assert found.metrics["macro_f1"].value == pytest.approx(macro, abs=1e-6)
    last = found.classes[3]
    assert (last.precision.value, last.recall.value, last.f1.value) == (None, None, None)


def test_all_predictions_equal():
    scores = np.tile(np.float32([0.1, 0.7, 0.1, 0.1]), (40, 1))
    labels = np.arange(40) % 4
    found = classify(scores, labels, NAMES)
    assert found.metrics["accuracy"].value == 0.25
    assert [each.precision.value for each in found.classes] == [None, 0.25, None, None]
    assert found.classes[0].precision.note == "the class is never predicted"
    assert found.metrics["expected_calibration_error"].value == pytest.approx(0.45, abs=1e-6)
    assert sum(each.records > 0 for each in found.calibration) == 1


def test_one_record():
    found = classify(np.float32([[0.25, 0.5, 0.25, 0.0]]), np.array([0]), NAMES)
    loss = found.metrics["cross_entropy"]
    assert loss.value == pytest.approx(np.log(4))
    assert loss.low is loss.high is None
    accuracy = found.metrics["accuracy"]
    assert (accuracy.value, accuracy.low) == (0, 0)
    assert accuracy.high > 0.7, "one record says little"


def test_a_probability_of_nothing_has_a_finite_loss():
    found = classify(np.float32([[0, 1, 0, 0]] * 2), np.array([0, 1]), NAMES)
    assert found.metrics["cross_entropy"].value == pytest.approx(-np.log(2.0**-126) / 2)


def test_a_small_loss_keeps_its_digits():
    logits = np.array([[9.0, -1.0, 0.0, -3.0], [0.0, 14.0, 1.0, 2.0]])
    found = find_losses(softmax(logits, axis=1).astype(np.float32), np.array([0, 1]))
    expected = -log_softmax(logits, axis=1)[[0, 1], [0, 1]]
    assert found == pytest.approx(expected, rel=1e-6)


def test_every_record_right():
    found = classify(np.eye(4, dtype=np.float32), np.arange(4), NAMES)
    assert found.metrics["macro_f1"].value == 1
    assert found.metrics["macro_f1"].low is None, "drawing records anew shows no spread"
    assert found.metrics["accuracy"].low < 0.6
