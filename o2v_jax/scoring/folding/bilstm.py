"""bilstm: both directions in one scan, with gates that are looked up instead of multiplied."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from o2v_jax.hyperparameters import EncoderConfig
from o2v_jax.model import Params
from o2v_jax.model.layers import embed_tokens, real_tokens
from o2v_jax.model.ops.lstm import open_gates

DIRECTIONS = ("forward", "backward")
Carry: TypeAlias = tuple[Array, Array, Array]


def fold(config: EncoderConfig, table: Any, params: Params, *, tokens: bool) -> Params:
    """Parameters for `encode`, both directions side by side on a leading axis.

    "tokens" is the table of token vectors, or, with `tokens`, each token's share of the first
    layer's gates, bias included: float32 `[2, vocab_size, 4 * units]`.
    """
    folded: Params = {f"layer_{k}": _stack_directions(params, k) for k in range(config.layers)}
    if not tokens:
        return {"tokens": table, **folded}
    first, rows = folded["layer_0"], np.asarray(table)
    gates = np.zeros((2, len(rows), 2 * config.enc_dim), np.float32)
    # all but the padding's vector, which may be anything
    np.matmul(rows[1:], first.pop("input"), out=gates[:, 1:])
    gates[:, 1:] += first.pop("bias")[:, None]
    return {"tokens": gates, **folded}


def count_token_floats(config: EncoderConfig) -> int:
    """Numbers a token has in the folded table."""
    return 4 * config.enc_dim


def encode(
    config: EncoderConfig, params: Params, ids: Int[Array, "batch length"]
) -> Float[Array, "batch enc_dim"]:
    """As `model.bilstm` encodes, at inference."""
    steps, mask = ids.T, real_tokens(ids.T)
    layers = [params[f"layer_{k}"] for k in range(config.layers)]
    pooled, states = _scan(*_prepare_first(params, steps), mask, layers[0]["hidden"])
    for layer in layers[1:]:
        pooled, states = _scan(_compute_gates(layer, states), jnp.stack, mask, layer["hidden"])
    joined = jnp.concatenate([pooled[0], pooled[1]], axis=-1)
    return jnp.where(mask.any(axis=0)[:, None], joined, 0.0)


def _prepare_first(
    params: Params, steps: Int[Array, "length batch"]
) -> tuple[Any, Callable[..., Array]]:
    """The inputs of the first layer's scan, and a function that makes gates of one step's."""
    tokens, layer = params["tokens"], params["layer_0"]
    if "input" in layer:
        return _compute_gates(layer, embed_tokens(tokens, steps)), jnp.stack
    way = jnp.arange(2)[:, None]
    return (steps, steps[::-1]), lambda ids: tokens.at[way, jnp.stack(ids)].get(
        mode="promise_in_bounds"
    )


def _compute_gates(layer: Params, x: Float[Array, "length batch inputs"]) -> tuple[Array, Array]:
    """The inputs' share of the gates, each direction in the order that it goes."""
    gates = jnp.einsum("lbi,wig->wlbg", x, layer["input"]) + layer["bias"][:, None, None]
    return gates[0], gates[1, ::-1]


def _scan(
    inputs: Any, read: Callable[..., Array], mask: Array, weight: Float[Array, "2 units gates"]
) -> tuple[Float[Array, "2 batch units"], Float[Array, "length batch states"]]:
    """The largest hidden state over the real tokens, and all of them in the order of the tokens.

    A masked step leaves the state as it was and is no part of the maximum.
    """

    def step(carry: Carry, now: tuple[Any, tuple[Array, Array]]) -> tuple[Carry, Array]:
        (hidden, cell, most), (met, real) = carry, now
        is_real = jnp.stack(real)[..., None]
        new_hidden, new_cell = _update_cell(read(met) + jnp.matmul(hidden, weight), cell)
        hidden = jnp.where(is_real, new_hidden, hidden)
        most = jnp.where(is_real, jnp.maximum(most, new_hidden), most)
        return (hidden, jnp.where(is_real, new_cell, cell), most), hidden

    zeros = jnp.zeros((2, mask.shape[1], weight.shape[1]), jnp.float32)
    start = zeros, zeros, jnp.full_like(zeros, -jnp.inf)
    (_, _, most), states = jax.lax.scan(step, start, (inputs, (mask, mask[::-1])))
    return most, jnp.concatenate([states[:, 0], states[::-1, 1]], axis=-1)


def _update_cell(gates: Array, cell: Array) -> tuple[Array, Array]:
    """Hidden state and cell after a step; see `model.bilstm.LSTM`."""
    i, f, g, o = open_gates(gates)
    new_cell = f * cell + i * g
    return o * jnp.tanh(new_cell), new_cell


def _stack_directions(params: Params, k: int) -> Params:
    parts = [params[f"{way}_{k}"] for way in DIRECTIONS]
    names = {"input": "weight_input", "hidden": "weight_hidden", "bias": "bias"}
    return {
        name: np.stack([np.asarray(part[original]) for part in parts])
        for name, original in names.items()
    }
