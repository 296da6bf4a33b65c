"""pooled_embedding: the mean of a sequence's token vectors."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from o2v_jax.hyperparameters import EncoderConfig
from o2v_jax.model.layers import embed_tokens, real_tokens, share_batch

# Positions that a CPU sums in one pass over the batch: twice as fast as one by one where rows are
# long; more gain nothing.
UNROLL = 8


class PooledEmbedding(nnx.Module):
    """Sum of the token vectors over the count of non-zero ids (over 1 if there is none).

    Has no parameters of its own: the token vectors have enc_dim dimensions. A sequence without
    tokens encodes to the zero vector. Dropout follows the mean. Source: Object2Vec's own logs.
    """

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs) -> None:
        del rngs  # nothing to initialise; every encoder is built the same way
        self.dropout = nnx.Dropout(config.dropout)

    def __call__(
        self,
        table: Float[Array, "vocab enc_dim"],
        ids: Int[Array, "batch length"],
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "batch enc_dim"]:
        """Encodes each row of ids; `rngs` draws the dropout, none means inference."""
        (total,) = sum_vectors(table, ids)
        return self.average(total, ids, rngs)

    def average(
        self,
        total: Float[Array, "batch enc_dim"],
        ids: Int[Array, "batch length"],
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "batch enc_dim"]:
        """As `__call__`, from the sums of the token vectors, as `sum_vectors` returns them."""
        count = jnp.maximum(real_tokens(ids).sum(axis=1, dtype=jnp.int32), 1)
        mean = total / count.astype(jnp.float32)[:, None]
        return self.dropout(mean, deterministic=rngs is None, rngs=rngs)


def sum_vectors(
    table: Float[Array, "vocab enc_dim"], *sides: Int[Array, "_ _"]
) -> tuple[Float[Array, "_ enc_dim"], ...]:
    """Sums of the token vectors of each row, of one side or of both that share a table.

    Sides that are given together have their gradients of the table added up together.
    """

    def sum_sides(table: Array, *sides: Array) -> tuple[Array, ...]:
        return tuple(_sum_rows(table, ids) for ids in sides)

    totals: tuple[Array, ...] = share_batch(sum_sides, table, *sides)
    return totals


def _sum_rows(
    table: Float[Array, "vocab enc_dim"], ids: Int[Array, "batch length"]
) -> Float[Array, "batch enc_dim"]:
    total: Float[Array, "batch enc_dim"]
    total = jax.lax.platform_dependent(table, ids, cpu=_sum_by_position, default=_sum_at_once)
    return total


def _sum_at_once(
    table: Float[Array, "vocab enc_dim"], ids: Int[Array, "batch length"]
) -> Float[Array, "batch enc_dim"]:
    return embed_tokens(table, ids).sum(axis=1, dtype=jnp.float32)


@jax.custom_vjp
def _sum_by_position(
    table: Float[Array, "vocab enc_dim"], ids: Int[Array, "batch length"]
) -> Float[Array, "batch enc_dim"]:
    """As `_sum_at_once`, a few positions at a time.

    All token vectors at once would be written to memory and read back, and their gradient too,
    which a CPU spends most of its time on. (A GPU's compiler does not write them at all.)
    """
    length = ids.shape[1]

    def add(turn: Array | int, total: Array, positions: int = UNROLL) -> Array:
        for k in range(positions):
            total = total + _embed_position(table, ids, turn * UNROLL + k).astype(jnp.float32)
        return total

    # made of the table and the ids, not just zeros: in shard_map they vary over devices as those do
    start = jnp.zeros_like(_embed_position(table, ids, 0), jnp.float32)
    total: Array = jax.lax.fori_loop(0, length // UNROLL, add, start)
    return add(length // UNROLL, total, length % UNROLL)


def _embed_position(
    table: Float[Array, "vocab enc_dim"], ids: Int[Array, "batch length"], at: Array | int
) -> Float[Array, "batch enc_dim"]:
    column = jax.lax.dynamic_slice_in_dim(ids, at, 1, axis=1)
    return embed_tokens(table, column)[:, 0]


def _forward(table: Array, ids: Array) -> tuple[Array, tuple[Array, Array]]:
    return _sum_by_position(table, ids), (table, ids)


def _backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, None]:
    """Adds a row's gradient to each of its tokens; padding's goes nowhere."""
    table, ids = saved
    beyond = jnp.where(real_tokens(ids), ids, table.shape[0])

    def add(at: Array, total: Array) -> Array:
        column = jax.lax.dynamic_index_in_dim(beyond, at, axis=1, keepdims=False)
        return total.at[column].add(gradient.astype(table.dtype), mode="drop")

    return jax.lax.fori_loop(0, ids.shape[1], add, jnp.zeros_like(table)), None


_sum_by_position.defvjp(_forward, _backward)
