"""The head's linear layers as one."""

from dataclasses import replace

import numpy as np

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import Params


def fold_head(config: Hyperparameters, params: Params) -> tuple[Hyperparameters, Params]:
    """A configuration and head parameters that give the same scores with the fewest layers.

    With `mlp_activation` linear, the default, the MLP and the output layer are one matrix:
    ((x A + a) B + b) C + c = x (A B C) + (a B + b) C + c, multiplied here in float64.
    Other activations, and more outputs than mlp_dim, leave everything as it is.
    """
    if config.objective is not None:
        return config, {}
    is_linear = config.mlp_activation == "linear" and config.mlp_layers
    if not is_linear or config.outputs > config.mlp_dim:
        return config, params
    layers = [params["mlp"][f"fc_{k}"] for k in range(config.mlp_layers)]
    weight, bias = _read_float64(params["output_layer"])
    for layer in reversed(layers):  # from the narrow end: each product is a thin one
        before, shift = _read_float64(layer)
        weight, bias = before @ weight, shift @ weight + bias
    folded = {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
    return replace(config, mlp_layers=0), {"output_layer": folded}


def _read_float64(layer: Params) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(layer["weight"], np.float64), np.asarray(layer["bias"], np.float64)
