"""The in-batch objective: its values, what it refuses, and its JSON."""

import json

import numpy as np
import pytest

from o2v_jax import HyperparameterError, Hyperparameters, InBatchObjective, InputError
from o2v_jax.hyperparameters import objective_from_json, objective_to_json

REQUIRED = {"enc0_max_seq_len": 5, "enc0_vocab_size": 9}


def test_defaults_are_the_cosine_at_a_low_temperature():
    objective = InBatchObjective()
    assert (objective.similarity, objective.temperature) == ("cosine", 0.05)
    assert not objective.correct_popularity


@pytest.mark.parametrize(("values", "message"), [
    ({"similarity": "euclidean"}, "similarity='euclidean' must be cosine or inner_product"),
    ({"similarity": ["cosine"]}, "similarity=list ['cosine'] must be cosine or inner_product"),
    ({"temperature": 0}, "temperature=0 must be a number in 0.001..1000"),
    ({"temperature": -1.0}, "temperature=-1.0 must be a number in 0.001..1000"),
    ({"temperature": float("nan")}, "temperature=nan must be a number in 0.001..1000"),
    ({"temperature": 1e9}, "temperature=1000000000.0 must be a number in 0.001..1000"),
    ({"temperature": True}, "temperature=True must be a number in 0.001..1000"),
    ({"temperature": "0.1"}, "temperature='0.1' must be a number in 0.001..1000"),
    ({"correct_popularity": 1}, "correct_popularity=1 must be True or False"),
    ({"negatives_per_pair": -1}, "negatives_per_pair=-1 must be an integer in 0..1000"),
    ({"negatives_per_pair": 2.5}, "negatives_per_pair=2.5 must be an integer in 0..1000"),
])  # fmt: skip
def test_wrong_values_are_refused(values, message):
    with pytest.raises(InputError) as caught:
        InBatchObjective(**values)
    assert str(caught.value) == message


def test_numbers_of_numpy_are_taken():
    objective = InBatchObjective(temperature=np.float32(0.5))
    assert type(objective.temperature) is float
    assert objective == InBatchObjective(temperature=0.5)


@pytest.mark.parametrize("objective", [
    InBatchObjective(),
    InBatchObjective(similarity="inner_product", temperature=1, correct_popularity=True),
    InBatchObjective(negatives_per_pair=np.int64(0)),
])  # fmt: skip
def test_json_gives_the_same_objective(objective):
    document = json.loads(json.dumps(objective_to_json(objective)))
    assert document["name"] == "in_batch"
    assert objective_from_json(document) == objective


@pytest.mark.parametrize(("document", "message"), [
    ("in_batch", "must be an object with the name \"in_batch\", got 'in_batch'"),
    ({"name": "pairs"}, 'must be an object with the name "in_batch", got dict of 1 keys'),
    ({"name": "in_batch", "margin": 1},
     "'margin' is not one of similarity, temperature, correct_popularity, negatives_per_pair"),
    ({"name": "in_batch", "temperature": None},
     "temperature=None must be a number in 0.001..1000"),
])  # fmt: skip
def test_wrong_json_is_refused(document, message):
    with pytest.raises(InputError) as caught:
        objective_from_json(document)
    assert str(caught.value) == message


@pytest.mark.parametrize(("settings", "problem"), [
    ({"mini_batch_size": 1},
     ("mini_batch_size=1: the in-batch objective compares the pairs of a batch; "
     "set it to 2 or more")),
    ({"output_layer": "mean_squared_error"},
     ("output_layer=mean_squared_error: the in-batch objective ranks pairs and predicts no value; "
     "leave output_layer out")),
    ({"negative_sampling_rate": 3},
     ("negative_sampling_rate=3: the negatives of the in-batch objective are the other pairs of a "
     "batch; leave negative_sampling_rate out")),
])  # fmt: skip
def test_hyperparameters_that_contradict_it_are_refused(settings, problem):
    Hyperparameters(**REQUIRED, **settings)
    with pytest.raises(HyperparameterError) as caught:
        Hyperparameters(**REQUIRED, **settings, objective=InBatchObjective())
    assert list(caught.value.problems) == [problem]


def test_it_is_not_one_of_the_documented_hyperparameters():
    config = Hyperparameters(**REQUIRED, objective=InBatchObjective())
    assert "objective" not in config.to_strings()
    assert Hyperparameters.from_strings(config.to_strings(), config.objective) == config
    assert Hyperparameters.from_strings(config.to_strings()) != config
    with pytest.raises(HyperparameterError, match="objective"):
        Hyperparameters.from_strings(config.to_strings() | {"objective": "in_batch"})
    with pytest.raises(InputError, match="objective='in_batch' must be an InBatchObjective"):
        Hyperparameters(**REQUIRED, objective="in_batch")


def test_a_model_of_it_gives_one_similarity_and_no_classes():
    config = Hyperparameters(**REQUIRED, objective=InBatchObjective())
    assert config.outputs == 1
    assert not config.is_classification
