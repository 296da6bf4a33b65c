"""The in-batch softmax loss: each pair's in1 competes with the others of its batch."""

from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from o2v_jax.hyperparameters import InBatchObjective
from o2v_jax.model.head import normalize
from o2v_jax.training.data.batches import Batch, InBatch

Similarities = Float[Array, "pairs candidates"]


class _Direction(NamedTuple):
    """Loss of each pair, and whether its own partner is the most similar, both `[pairs]`."""

    loss: Float[Array, "pairs"]
    correct: Float[Array, "pairs"]


def measure_in_batch(
    objective: InBatchObjective,
    enc0: Float[Array, "pairs enc_dim"],
    enc1: Float[Array, "pairs enc_dim"],
    batch: Batch,
) -> tuple[Float[Array, "pairs"], Float[Array, "pairs"]]:
    """Loss of each pair, and 1 where its in1 has the largest logit of the batch for its in0.

    The loss is the mean of the cross-entropies of both directions. What is known to belong together
    is no negative: an in1 does not compete for an in0 that it is paired with in any row.

    Args:
        objective: says what a similarity is, and its temperature.
        enc0: encodings of in0.
        enc1: encodings of in1, row by row.
        batch: which rows are pairs, which of them are alike, and how frequent each object is.
    """
    if objective.similarity == "cosine":
        enc0, enc1 = normalize(enc0), normalize(enc1)
    assert batch.in_batch is not None  # noqa: S101 - the loader of this objective makes it
    logits = (enc0 @ enc1.T) / objective.temperature
    competing = _find_competing(batch.in_batch)
    backwards = logits.T
    if batch.in_batch.log_frequencies is not None:
        logq0, logq1 = map(jnp.asarray, batch.in_batch.log_frequencies)
        logits, backwards = logits - logq1[None, :], backwards - logq0[None, :]
    forward = _measure_direction(logits, competing)
    backward = _measure_direction(backwards, competing.T)
    return (forward.loss + backward.loss) / 2, forward.correct


def _find_competing(known: InBatch) -> Bool[Array, "pairs candidates"]:
    """Which in1 an in0 is compared with: its own, and all that it is not paired with in the batch.

    What is equal has one number a side, so a table of these numbers says which are paired.
    """
    groups0, groups1 = map(jnp.asarray, known.groups)
    size = len(groups0)
    paired = jnp.zeros((size + 1, size + 1), bool).at[groups0, groups1].set(True)
    belong = paired[groups0][:, groups1]
    is_record = groups0 > 0
    are_records = is_record[:, None] & is_record[None, :]
    return (~belong & are_records) | jnp.eye(size, dtype=bool)


def _measure_direction(
    logits: Similarities, competing: Bool[Array, "pairs candidates"]
) -> _Direction:
    logits = jnp.where(competing, logits, -jnp.inf)
    own = jnp.arange(len(logits))
    loss = optax.losses.softmax_cross_entropy_with_integer_labels(logits, own)
    return _Direction(loss, (logits.argmax(axis=1) == own).astype(jnp.float32))
