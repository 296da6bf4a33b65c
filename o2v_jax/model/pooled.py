"""pooled_embedding: the mean of a sequence's token vectors."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from o2v_jax.hyperparameters import EncoderConfig
from o2v_jax.model.layers import embed, real_tokens


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
        count = jnp.maximum(real_tokens(ids).sum(axis=1, dtype=jnp.int32), 1)
        mean = embed(table, ids).sum(axis=1) / count.astype(jnp.float32)[:, None]
        return self.dropout(mean, deterministic=rngs is None, rngs=rngs)
