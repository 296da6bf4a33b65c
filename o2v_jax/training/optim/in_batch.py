"""The in-batch softmax loss: each pair's in1 competes with the others of its batch.

Hard negatives compete as in1 for every in0. Behind the rows of the pairs, `enc1` has theirs, as in
the multiple negatives ranking loss of sentence-transformers (Henderson et al. 2017, "Efficient
natural language response suggestion for Smart Reply", section 4.4).
"""

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
    enc1: Float[Array, "candidates enc_dim"],
    batch: Batch,
) -> tuple[Float[Array, "pairs"], Float[Array, "pairs"]]:
    """Loss of each pair, and 1 where its in1 has the largest logit of the batch for its in0.

    The loss is the mean of the cross-entropies of both directions, in0 given in1 for the in1 of
    pairs alone. What is known to belong together is no negative: an in1, or a hard negative that
    equals it, does not compete for an in0 that it is paired with in any row.

    Args:
        objective: says what a similarity is, and its temperature.
        enc0: encodings of in0.
        enc1: encodings of in1, row by row, then those of hard negatives.
        batch: which rows are pairs, which of them are alike, and how frequent each object is.
    """
    if objective.similarity == "cosine":
        enc0, enc1 = normalize(enc0), normalize(enc1)
    assert batch.in_batch is not None  # noqa: S101 - the loader of this objective makes it
    logits = (enc0 @ enc1.T) / objective.temperature
    competing = _find_competing(batch.in_batch)
    backwards = logits.T[: len(logits)]
    if batch.in_batch.log_frequencies is not None:
        logq0, logq1 = map(jnp.asarray, batch.in_batch.log_frequencies)
        logits, backwards = logits - logq1[None, :], backwards - logq0[None, :]
    forward = _measure_direction(logits, competing)
    backward = _measure_direction(backwards, competing.T[: len(logits)])
    return (forward.loss + backward.loss) / 2, forward.correct


def _find_competing(known: InBatch) -> Bool[Array, "pairs candidates"]:
    """Which in1 an in0 is compared with: its own, and all that it is not paired with in the batch.

    What is equal has one number a side, so a table of these numbers says which are paired. (Where
    rows fill up in0 for its devices, hard negatives stand beside them, and pair with number 0.)
    """
    groups0, groups1 = map(jnp.asarray, known.groups)
    pairs, candidates = len(groups0), len(groups1)
    paired = jnp.zeros((pairs + 1, candidates + 1), bool)
    paired = paired.at[groups0, groups1[:pairs]].set(True)
    belong = paired[groups0][:, groups1]
    are_records = (groups0 > 0)[:, None] & (groups1 > 0)[None, :]
    return (~belong & are_records) | jnp.eye(pairs, candidates, dtype=bool)


def _measure_direction(
    logits: Similarities, competing: Bool[Array, "pairs candidates"]
) -> _Direction:
    logits = jnp.where(competing, logits, -jnp.inf)
    own = jnp.arange(len(logits))
    loss = optax.losses.softmax_cross_entropy_with_integer_labels(logits, own)
    return _Direction(loss, (logits.argmax(axis=1) == own).astype(jnp.float32))
