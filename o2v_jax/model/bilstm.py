"""bilstm: a bidirectional LSTM over time, max-pooled over the real tokens."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from o2v_jax.hyperparameters import EncoderConfig
from o2v_jax.model.layers import embed, real_tokens
from o2v_jax.model.recurrence import multiply, recur


class LSTM(nnx.Module):
    """One direction of one layer. Gates stand in the order input, forget, cell, output.

    `weight_input` is float32 `[inputs, 4 * units]`, `weight_hidden` `[units, 4 * units]`, `bias`
    `[4 * units]`. With i, f, o = sigmoid and g = tanh of the four gates:
    c' = f * c + i * g and h' = o * tanh(c') (Hochreiter and Schmidhuber 1997; Gers et al. 2000).
    """

    def __init__(self, inputs: int, units: int, *, rngs: nnx.Rngs) -> None:
        initial = nnx.initializers.xavier_uniform()
        self.weight_input = nnx.Param(initial(rngs.params(), (inputs, 4 * units), jnp.float32))
        self.weight_hidden = nnx.Param(
            nnx.initializers.orthogonal()(rngs.params(), (units, 4 * units), jnp.float32)
        )
        # a forget gate that starts open lets gradients through long sequences
        self.bias = nnx.Param(jnp.zeros(4 * units, jnp.float32).at[units : 2 * units].set(1.0))

    def __call__(
        self,
        x: Float[Array, "batch length inputs"],
        mask: Bool[Array, "batch length"],
        *,
        reverse: bool,
    ) -> Float[Array, "batch length units"]:
        """Hidden states at every step; a masked step leaves the state as it was."""
        weight, bias = self.weight_input[...], self.bias[...].astype(jnp.float32)
        gates = multiply(x, weight) + bias[None, None, :]
        by_step = jnp.swapaxes(gates, 0, 1), jnp.swapaxes(mask, 0, 1)
        hidden = recur(*by_step, self.weight_hidden[...], reverse=reverse)
        return jnp.swapaxes(hidden, 0, 1)


class BiLSTM(nnx.Module):
    """`layers` bidirectional LSTMs, enc_dim / 2 units a direction, max-pooled over real tokens.

    Dropout stands between the layers. A sequence without tokens encodes to the zero vector.
    Max-pooling is this project's choice, after InferSent (Conneau et al. 2017).
    """

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs) -> None:
        self.depth = config.layers
        self.dropout = nnx.Dropout(config.dropout)
        units, inputs = config.enc_dim // 2, config.token_embedding_dim
        for k in range(config.layers):
            setattr(self, f"forward_{k}", LSTM(inputs, units, rngs=rngs))
            setattr(self, f"backward_{k}", LSTM(inputs, units, rngs=rngs))
            inputs = 2 * units

    def __call__(
        self,
        table: Float[Array, "vocab dim"],
        ids: Int[Array, "batch length"],
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "batch enc_dim"]:
        """Encodes each row of ids; `rngs` draws the dropout, none means inference."""
        mask, x = real_tokens(ids), embed(table, ids)
        for k in range(self.depth):
            if k > 0:
                x = self.dropout(x, deterministic=rngs is None, rngs=rngs)
            forward = getattr(self, f"forward_{k}")(x, mask, reverse=False)
            backward = getattr(self, f"backward_{k}")(x, mask, reverse=True)
            x = jnp.concatenate([forward, backward], axis=-1)
        pooled = jnp.where(mask[..., None], x, -jnp.inf).max(axis=1)
        return jnp.where(mask.any(axis=1)[:, None], pooled, 0.0)
