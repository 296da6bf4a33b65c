"""The loss of a batch, and the sums over its records that metrics are made of."""

from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.training.data.batches import Batch

Scalar: TypeAlias = Float[Array, ""]


class Sums(NamedTuple):
    """Sums over records, weighted: divide by `weight` for the mean."""

    loss: Scalar
    correct: Scalar
    weight: Scalar

    def mean_loss(self) -> float:
        """Mean loss of a record; waits for the device."""
        return float(self.loss / self.weight)

    @classmethod
    def zero(cls) -> "Sums":
        """Sums over nothing."""
        return cls(*jnp.zeros((3,), jnp.float32))

    def __add__(self, other: "Sums") -> "Sums":  # type: ignore[override]
        return Sums(*map(jnp.add, self, other))


def sum_records(loss: Float[Array, "batch"], correct: Float[Array, "batch"], batch: Batch) -> Sums:
    """Of a batch, from the loss of each record and whether it is correct."""
    weights = jnp.asarray(batch.weights)
    return Sums((loss * weights).sum(), (correct * weights).sum(), weights.sum())


def sum_batch(
    config: Hyperparameters, outputs: Float[Array, "batch outputs"], batch: Batch
) -> Sums:
    """Loss, correct records and weight of a batch, summed, from the network's outputs."""
    measure = _classify if config.is_classification else _regress
    return sum_records(*measure(outputs, jnp.asarray(batch.labels)), batch)


def _classify(
    logits: Float[Array, "batch classes"], labels: Float[Array, "batch"]
) -> tuple[Float[Array, "batch"], Float[Array, "batch"]]:
    classes = labels.astype(jnp.int32)
    loss = optax.losses.softmax_cross_entropy_with_integer_labels(logits, classes)
    return loss, (logits.argmax(axis=-1) == classes).astype(jnp.float32)


def _regress(
    values: Float[Array, "batch 1"], labels: Float[Array, "batch"]
) -> tuple[Float[Array, "batch"], Float[Array, "batch"]]:
    loss = jnp.square(values[:, 0] - labels)
    return loss, jnp.zeros_like(loss)
