"""The folded head: the same scores from one layer, where the activation is linear."""

from itertools import permutations

import jax
import numpy as np
import pytest
from reference import network as reference

from o2v_jax.model import head_fn
from o2v_jax.scoring.folding import fold_head

pytestmark = pytest.mark.slow

NAMES = ("hadamard", "concat", "abs_diff")
COMPARATOR_LISTS = [names for n in (1, 2, 3) for names in permutations(NAMES, n)]
ENC0, ENC1 = np.random.default_rng(0).normal(size=(2, 9, 8)).astype(np.float32)
layers = pytest.mark.parametrize("layers", [0, 1, 2, 3])
outputs = pytest.mark.parametrize("output", ["softmax", "mean_squared_error"])


@pytest.fixture
def head_of(config_of, model_of):
    """A function of a head's hyperparameters: its configuration and parameters."""

    def make(layers, output, activation="linear", comparators=("concat", "hadamard")):
        head = {"mlp_layers": layers, "output_layer": output, "mlp_activation": activation}
        config = config_of(comparator_list=comparators, **head)
        return config, model_of(config).params["head"]

    return make


def expected(config, params):
    pairs = zip(ENC0, ENC1, strict=True)
    return np.array([reference.head(config, params, *pair) for pair in pairs])


@layers
@outputs
@pytest.mark.parametrize("activation", ["linear", "tanh", "relu"])
def test_scores_are_those_of_the_reference(head_of, layers, output, activation):
    config, params = head_of(layers, output, activation)
    folded, weights = fold_head(config, params)
    found = jax.jit(head_fn(folded))(weights, ENC0, ENC1)
    np.testing.assert_allclose(found, expected(config, params), rtol=1e-5, atol=1e-5)


@outputs
@pytest.mark.parametrize("comparators", COMPARATOR_LISTS, ids="-".join)
def test_every_comparator_list(head_of, output, comparators):
    """Both heads in float64: what differs is only that the folded one is kept in float32."""
    config, params = head_of(2, output, "linear", comparators)
    found, wanted = expected(*fold_head(config, params)), expected(config, params)
    assert np.ptp(wanted, axis=0).max() > 1e-2
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


@layers
@outputs
def test_linear_layers_become_the_output_layer(head_of, layers, output):
    config, params = head_of(layers, output)
    folded, weights = fold_head(config, params)
    assert folded.mlp_layers == 0
    assert list(weights) == ["output_layer"]
    assert weights["output_layer"]["weight"].shape == (24, config.outputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(weights)} == {np.dtype(np.float32)}


@layers
def test_folding_changes_nothing_else(head_of, layers):
    """Not the rest of the configuration, and not the parameters that it reads."""
    (config, params), (_, fresh) = (head_of(layers, "softmax") for _ in range(2))
    folded, _ = fold_head(config, params)
    changed = {name for name in vars(config) if getattr(config, name) != getattr(folded, name)}
    assert changed <= {"mlp_layers"}
    jax.tree.map(np.testing.assert_array_equal, params, fresh)


@layers
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_other_activations_are_left_as_they_are(head_of, layers, activation):
    config, params = head_of(layers, "softmax", activation)
    folded, weights = fold_head(config, params)
    assert folded is config
    assert weights is params
