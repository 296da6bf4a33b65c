"""Object2Vec's five optimizers, by optax, with MXNet's constants, which the original runs on.

| name | update |
|---|---|
| adadelta | Zeiler 2012, rho 0.9, epsilon 1e-5; it has no learning rate |
| adagrad | Duchi et al. 2011, epsilon 1e-7, accumulators from 0 |
| adam | Kingma and Ba 2015, beta1 0.9, beta2 0.999, epsilon 1e-8 |
| rmsprop | Tieleman and Hinton 2012, decay 0.9, epsilon 1e-8 |
| sgd | stochastic gradient descent, no momentum |
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import Params

_log = logging.getLogger("o2v_jax")

OPTIMIZERS: dict[str, Callable[[float], optax.GradientTransformation]] = {
    "adadelta": lambda _: optax.adadelta(learning_rate=1.0, rho=0.9, eps=1e-5),
    "adagrad": lambda rate: optax.adagrad(rate, initial_accumulator_value=0.0, eps=1e-7),
    "adam": optax.adam,
    "rmsprop": lambda rate: optax.rmsprop(rate, decay=0.9, eps=1e-8),
    "sgd": optax.sgd,
}


def make_optimizer(config: Hyperparameters) -> optax.GradientTransformation:
    """The configured optimizer.

    `weight_decay` times a weight is added to its gradient. Biases do not decay, as in MXNet.
    """
    optimizer = OPTIMIZERS[config.optimizer](config.learning_rate)
    if config.weight_decay == 0:
        return optimizer
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay, mask=_mark_decaying), optimizer
    )


def apply_update(
    optimizer: optax.GradientTransformation,
    params: Params,
    gradients: Params,
    opt_state: Any,
    frozen: Mapping[str, Array],
) -> tuple[Params, Any]:
    """Returns the parameters and the optimizer state after one update.

    Args:
        optimizer: any of optax.
        params: `[name][leaf]`, as the gradients.
        gradients: of the loss.
        opt_state: what `optimizer.init` or the update before returned.
        frozen: for each table that has any, which of its rows keep their weights, bool `[rows]`.
    """
    # optax mixes its int32 step counts with floats, which strict promotion would refuse
    with jax.numpy_dtype_promotion("standard"):
        updates, opt_state = optimizer.update(gradients, opt_state, params)
    for name in frozen.keys() & params.keys():
        is_frozen = frozen[name][:, None]
        updates[name] = {"weight": jnp.where(is_frozen, 0.0, updates[name]["weight"])}
    return optax.apply_updates(params, updates), opt_state


def note_learning_rate(config: Hyperparameters) -> None:
    """Warns that adadelta does not use the learning rate."""
    if config.optimizer == "adadelta":
        rate = config.learning_rate
        _log.warning("optimizer=adadelta sets its own steps: learning_rate=%g is not used", rate)


def _mark_decaying(params: Any) -> Any:
    """True for the parameters that decay."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key != "bias", params)
