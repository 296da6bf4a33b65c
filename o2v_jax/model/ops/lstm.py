"""The recurrence of LSTMs over time, both directions in one scan, with a gradient written out.

Differentiating a scan adds to the hidden weights' gradient at every step, one small matrix product
each. Written out, the backward steps give the gates' gradients, and one large product over all
steps gives the weights'.
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from o2v_jax.model.layers import spread_like

Gates: TypeAlias = Float[Array, "ways rows gates"]
Steps: TypeAlias = Int[Array, "length ways batch"]
Mask: TypeAlias = Bool[Array, "length ways batch"]
Weight: TypeAlias = Float[Array, "ways units gates"]
States: TypeAlias = Float[Array, "length ways batch units"]


class _Kept(NamedTuple):
    """What the backward pass needs of each step: its gates, and the cell and state before it."""

    i: States
    f: States
    g: States
    o: States
    cell: States
    hidden: States


def recur(gates: Gates, at: Steps, mask: Mask, weight: Weight) -> States:
    """Hidden states at every step of several LSTMs ("ways"); a masked step repeats the state.

    `gates` holds what the input alone gives the gates, in the order input, forget, cell, output;
    `at` says which of its rows each step reads. With i, f, o = sigmoid and g = tanh of the gates:
    c' = f * c + i * g and h' = o * tanh(c').
    """
    gates, weight = spread_like(gates, at, weight), spread_like(weight, at, gates)
    at, mask = spread_like(at, gates), spread_like(mask, gates)
    return _recur(gates, at, mask, weight)


def multiply(x: Float[Array, "*rows n"], weight: Float[Array, "*ways n m"]) -> Array:
    """`x @ weight` at the precision of `weight`, float32; each way's by its own weight.

    A cell adds up what it reads over many steps: bfloat16 is for the products, not for the sums.
    """
    product: Array = jnp.matmul(x.astype(weight.dtype), weight, preferred_element_type=jnp.float32)
    return product


def open_gates(gates: Float[Array, "*rows gates"]) -> tuple[Array, Array, Array, Array]:
    """i, f, g and o: sigmoid of the input, forget and output gates, tanh of the cell's."""
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    return jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)


@jax.custom_vjp
def _recur(gates: Gates, at: Steps, mask: Mask, weight: Weight) -> States:
    return _forward(gates, at, mask, weight)[0]


def _forward(
    gates: Gates, at: Steps, mask: Mask, weight: Weight
) -> tuple[States, tuple[_Kept, Gates, Steps, Mask, Weight]]:
    way = jnp.arange(len(gates))[:, None]

    def step(carry: tuple[Array, Array], now: tuple[Array, Array]):  # type: ignore[no-untyped-def]  # noqa: ANN202
        (hidden, cell), (row, real) = carry, now
        inputs = gates.at[way, row].get(mode="promise_in_bounds")
        i, f, g, o = open_gates(inputs + multiply(hidden, weight))
        new_cell, real = f * cell + i * g, real[..., None]
        new_hidden = jnp.where(real, o * jnp.tanh(new_cell), hidden)
        kept = _Kept(i, f, g, o, cell, hidden)
        return (new_hidden, jnp.where(real, new_cell, cell)), (new_hidden, kept)

    # made of the arguments, not just zeros: inside shard_map they vary over devices as those do
    zeros = jnp.zeros((*at.shape[1:], weight.shape[1]), jnp.float32)
    start = spread_like(zeros, gates, at)
    _, (states, kept) = jax.lax.scan(step, (start, start), (at, mask))
    return states, (kept, gates, at, mask, weight)


def _backward(
    saved: tuple[_Kept, Gates, Steps, Mask, Weight], gradient: States
) -> tuple[Gates, None, None, Weight]:
    kept, gates, at, mask, weight = saved
    transposed = jnp.swapaxes(weight, 1, 2)

    def step(carry: tuple[Array, Array], now: tuple[Array, _Kept, Array]):  # type: ignore[no-untyped-def]  # noqa: ANN202
        (d_hidden, d_cell), (d_state, k, real) = carry, now
        d_hidden, real = d_hidden + d_state, real[..., None]
        tanh = jnp.tanh(k.f * k.cell + k.i * k.g)
        d_new = d_cell + d_hidden * k.o * (1 - tanh * tanh)
        d_gates = jnp.concatenate(
            [
                d_new * k.g * k.i * (1 - k.i),
                d_new * k.cell * k.f * (1 - k.f),
                d_new * k.i * (1 - k.g * k.g),
                d_hidden * tanh * k.o * (1 - k.o),
            ],
            axis=-1,
        )
        d_gates = jnp.where(real, d_gates, 0.0)
        d_before = jnp.where(real, multiply(d_gates, transposed), d_hidden)
        return (d_before, jnp.where(real, d_new * k.f, d_cell)), d_gates

    start = jnp.zeros_like(gradient[0])
    _, d_steps = jax.lax.scan(step, (start, start), (gradient, kept, mask), reverse=True)
    way = jnp.arange(len(gates))[None, :, None]
    d_gates = jnp.zeros_like(gates).at[way, at].add(d_steps, mode="promise_in_bounds")
    d_weight = jnp.einsum("lwbu,lwbg->wug", kept.hidden, d_steps)
    return d_gates, None, None, d_weight.astype(weight.dtype)


_recur.defvjp(_forward, _backward)
