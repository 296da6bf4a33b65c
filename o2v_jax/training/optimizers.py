"""Object2Vec's five optimizers, by optax."""

import optax

from o2v_jax.hyperparameters import Hyperparameters

OPTIMIZERS = {
    "adadelta": optax.adadelta,
    "adagrad": optax.adagrad,
    "adam": optax.adam,
    "rmsprop": optax.rmsprop,
    "sgd": optax.sgd,
}


def optimizer(config: Hyperparameters) -> optax.GradientTransformation:
    """The configured optimizer; `weight_decay` times the parameter is added to its gradient."""
    rule = OPTIMIZERS[config.optimizer](config.learning_rate)
    if config.weight_decay == 0:
        return rule
    return optax.chain(optax.add_decayed_weights(config.weight_decay), rule)
