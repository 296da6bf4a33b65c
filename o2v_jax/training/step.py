"""One step of training and of evaluation, as jitted pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import Params, init, logits_fn
from o2v_jax.training.batches import Batch
from o2v_jax.training.optimizers import optimizer

Scalar: TypeAlias = Float[Array, ""]


class State(NamedTuple):
    """What a training step reads and replaces."""

    params: Params
    optimizer: Any
    key: Array  # draws the dropout


class Sums(NamedTuple):
    """Sums over records, weighted: divide by `weight` for the mean."""

    loss: Scalar
    correct: Scalar
    weight: Scalar

    def mean_loss(self) -> float:
        """Mean loss of a record; waits for the device."""
        return float(self.loss / self.weight)

    def __add__(self, other: "Sums") -> "Sums":  # type: ignore[override]
        return Sums(*map(jnp.add, self, other))


def start(config: Hyperparameters, seed: int) -> State:
    """Freshly initialised parameters and optimizer state."""
    params = init(config, seed)
    return State(params, optimizer(config).init(params), jax.random.key(seed + 1))


def train_step(config: Hyperparameters) -> Callable[[State, Batch], tuple[State, Sums]]:
    """A jitted function (state, batch) -> (next state, sums over the batch)."""
    rule, logits = optimizer(config), logits_fn(config)

    def loss(params: Params, batch: Batch, key: Array) -> tuple[Scalar, Sums]:
        sums = _sums(config, logits(params, batch.in0, batch.in1, key), batch)
        return sums.loss / sums.weight, sums

    def step(state: State, batch: Batch) -> tuple[State, Sums]:
        key, dropout_key = jax.random.split(state.key)
        gradients, sums = jax.grad(loss, has_aux=True)(state.params, batch, dropout_key)
        # optax mixes its int32 step counts with floats, which strict promotion would refuse
        with jax.numpy_dtype_promotion("standard"):
            updates, memory = rule.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(params, memory, key), sums

    return jax.jit(step, donate_argnums=0)


def evaluation_step(config: Hyperparameters) -> Callable[[Params, Batch], Sums]:
    """A jitted function (params, batch) -> sums over the batch, without dropout."""
    logits = logits_fn(config)
    return jax.jit(lambda params, batch: _sums(config, logits(params, *batch[:2]), batch))


def _sums(config: Hyperparameters, outputs: Float[Array, "batch outputs"], batch: Batch) -> Sums:
    measure = _classified if config.output_layer == "softmax" else _regressed
    loss, correct = measure(outputs, jnp.asarray(batch.labels))
    weights = jnp.asarray(batch.weights)
    return Sums((loss * weights).sum(), (correct * weights).sum(), weights.sum())


def _classified(
    logits: Float[Array, "batch classes"], labels: Float[Array, "batch"]
) -> tuple[Float[Array, "batch"], Float[Array, "batch"]]:
    classes = labels.astype(jnp.int32)
    loss = optax.losses.softmax_cross_entropy_with_integer_labels(logits, classes)
    return loss, (logits.argmax(axis=-1) == classes).astype(jnp.float32)


def _regressed(
    values: Float[Array, "batch 1"], labels: Float[Array, "batch"]
) -> tuple[Float[Array, "batch"], Float[Array, "batch"]]:
    loss = jnp.square(values[:, 0] - labels)
    return loss, jnp.zeros_like(loss)
