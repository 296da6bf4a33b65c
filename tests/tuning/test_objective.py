"""The figure that decides, by its documented name."""

import pytest

from o2v_jax.errors import InputError
from o2v_jax.tuning import ObjectiveMetric

GIVEN = ("train", "validation", "test")


@pytest.mark.parametrize(
    ("output_layer", "name", "direction"),
    [
        ("softmax", "validation:accuracy", "maximize"),
        ("softmax", "test:accuracy", "maximize"),
        ("softmax", "validation:cross_entropy", "minimize"),
        ("softmax", "test:cross_entropy", "minimize"),
        ("mean_squared_error", "validation:mean_squared_error", "minimize"),
        ("mean_squared_error", "test:mean_squared_error", "minimize"),
    ],
)
def test_documented_metrics_and_their_directions(output_layer, name, direction, config_of):
    objective = ObjectiveMetric.of(name, config_of(output_layer=output_layer), GIVEN)
    assert (str(objective), objective.direction) == (name, direction)
    assert objective.is_better(2.0, 1.0) == (direction == "maximize")
    assert not objective.is_better(1.0, 1.0)


def test_the_validation_loss_is_the_default(config_of):
    assert str(ObjectiveMetric.of(None, config_of(), GIVEN)) == "validation:cross_entropy"
    config = config_of(output_layer="mean_squared_error")
    assert str(ObjectiveMetric.of(None, config, GIVEN)) == "validation:mean_squared_error"


@pytest.mark.parametrize(
    ("output_layer", "name"),
    [
        ("softmax", "validation:mean_squared_error"),
        ("mean_squared_error", "validation:accuracy"),
        ("softmax", "test:accuracy"),
        ("softmax", "train:accuracy"),
        ("softmax", "accuracy"),
    ],
)
def test_another_metric_is_refused_with_the_valid_ones(output_layer, name, config_of):
    with pytest.raises(InputError) as refused:
        ObjectiveMetric.of(name, config_of(output_layer=output_layer), ("train", "validation"))
    valid = {
        "softmax": "validation:cross_entropy, validation:accuracy, metrics",
        "mean_squared_error": "must be one of validation:mean_squared_error, metrics",
    }
    assert valid[output_layer] in str(refused.value)
    assert "train:" not in str(refused.value).partition(": must")[2]
