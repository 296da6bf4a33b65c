"""Models of every kind of head, and what they rank."""

import numpy as np
import pytest

import o2v_jax
from o2v_jax import InBatchObjective

HEADS = {
    "cosine": {"objective": InBatchObjective()},
    "inner product": {"objective": InBatchObjective(similarity="inner_product")},
    "two classes": {"comparator_list": "hadamard", "num_classes": 2},
    "two classes and concat": {"comparator_list": "concat, hadamard", "num_classes": 2},
    "concat alone": {"comparator_list": "concat", "num_classes": 2},
    "regression": {
        "comparator_list": "hadamard, concat",
        "output_layer": "mean_squared_error",
        "mlp_layers": 0,
    },
    "three classes": {"comparator_list": "hadamard, concat"},
    "a network": {
        "comparator_list": "hadamard, concat",
        "num_classes": 2,
        "mlp_activation": "tanh",
        "mlp_layers": 1,
    },
    "abs_diff": {"comparator_list": "hadamard, abs_diff", "num_classes": 2},
}


@pytest.fixture(scope="session")
def head_of(config_of, model_of):
    """A function of a name in HEADS: a small model with that head."""

    def make(name, seed=0):
        return model_of(config_of(enc0_network="pooled_embedding", **HEADS[name]), seed)

    return make


@pytest.fixture(scope="session")
def model(head_of):
    """A model whose score is a cosine."""
    return head_of("cosine")


@pytest.fixture(scope="session")
def scorer(model):
    return o2v_jax.Scorer(model)


@pytest.fixture(scope="session")
def encodings():
    """A function (number, seed) -> encodings that differ much."""
    return lambda number, seed=0: (
        np.random.default_rng(seed).normal(size=(number, 8)).astype(np.float32)
    )
