"""bilstm: a bidirectional LSTM over time, max-pooled over the real tokens."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from o2v_jax.hyperparameters import EncoderConfig
from o2v_jax.model.layers import PADDING_ID, embed_tokens, real_tokens
from o2v_jax.model.ops.lstm import States, multiply, recur


class LSTM(nnx.Module):
    """The parameters of one direction of one layer; gates in the order input, forget, cell, output.

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

    def compute_gates(self, x: Float[Array, "rows inputs"]) -> Float[Array, "rows gates"]:
        """What the inputs alone give the gates."""
        bias = self.bias[...].astype(jnp.float32)
        return multiply(x, self.weight_input[...]) + bias[None, :]


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
        steps, mask = ids.T, real_tokens(ids.T)
        states = self._run_layer(0, *_select_inputs(table, steps), mask)
        for k in range(1, self.depth):
            x = jnp.swapaxes(_restore_order(states), 0, 1)  # dropout draws a row a record
            x = self.dropout(x, deterministic=rngs is None, rngs=rngs)
            states = self._run_layer(k, *_list_steps(jnp.swapaxes(x, 0, 1)), mask)
        real = _stack_directions(mask)[..., None]
        pooled = jnp.where(real, states, -jnp.inf).max(axis=0)
        joined = jnp.concatenate([pooled[0], pooled[1]], axis=-1)
        return jnp.where(mask.any(axis=0)[:, None], joined, 0.0)

    def _run_layer(self, k: int, rows: Array, at: Array, mask: Array) -> States:
        directions = getattr(self, f"forward_{k}"), getattr(self, f"backward_{k}")
        return run_both_directions(*directions, rows, at, mask)


def run_both_directions(
    forward: LSTM,
    backward: LSTM,
    rows: Float[Array, "rows inputs"],
    at: Int[Array, "length batch"],
    mask: Bool[Array, "length batch"],
) -> States:
    """Hidden states of both directions, each in the order that it goes.

    Step t of sequence b reads the row `at[t, b]`; a masked step leaves the state as it was.
    """
    gates = jnp.stack([forward.compute_gates(rows), backward.compute_gates(rows)])
    weight = jnp.stack([forward.weight_hidden[...], backward.weight_hidden[...]])
    return recur(gates, _stack_directions(at), _stack_directions(mask), weight)


def _select_inputs(
    table: Float[Array, "vocab dim"], steps: Int[Array, "length batch"]
) -> tuple[Float[Array, "rows dim"], Int[Array, "length batch"]]:
    """The token vectors, and which one each step reads.

    A table that is smaller than the batch is multiplied whole, so that no token's vector is
    multiplied twice: training hands over the rows that a batch names.
    """
    if len(table) > steps.size:
        return _list_steps(embed_tokens(table, steps))
    padding = jnp.arange(len(table)) == PADDING_ID
    return jnp.where(padding[:, None], 0.0, table).astype(table.dtype), steps


def _list_steps(
    x: Float[Array, "length batch inputs"],
) -> tuple[Float[Array, "rows inputs"], Int[Array, "length batch"]]:
    """A row for every step."""
    at = jnp.arange(x.shape[0] * x.shape[1], dtype=jnp.int32)
    return x.reshape(-1, x.shape[2]), at.reshape(x.shape[:2])


def _stack_directions(steps: Array) -> Array:
    """Steps `[length, batch]` in the order of each direction, `[length, 2, batch]`."""
    return jnp.stack([steps, steps[::-1]], axis=1)


def _restore_order(states: States) -> Float[Array, "length batch states"]:
    """The states of both directions side by side, in the order of the tokens."""
    return jnp.concatenate([states[:, 0], states[::-1, 1]], axis=-1)
