"""The recurrence of an LSTM over time, with a gradient written out.

Differentiating a scan adds to the hidden weights' gradient at every step, one small matrix product
each. Written out, the steps back give the gates' gradients, and one large product over all steps
gives the weights'.
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from o2v_jax.model.layers import spread_like

Gates: TypeAlias = Float[Array, "length batch gates"]
States: TypeAlias = Float[Array, "length batch units"]
Mask: TypeAlias = Bool[Array, "length batch"]
Weight: TypeAlias = Float[Array, "units gates"]


class _Kept(NamedTuple):
    """What the way back needs, a row a step: open gates, and the cell and state before it."""

    i: States
    f: States
    g: States
    o: States
    cell: States
    hidden: States


def recur(gates: Gates, mask: Mask, weight: Weight, *, reverse: bool) -> States:
    """Hidden states at every step, in the order of the input; a masked step repeats the state.

    `gates` are what the input alone gives them, in the order input, forget, cell, output. With
    i, f, o = sigmoid and g = tanh of the gates: c' = f * c + i * g and h' = o * tanh(c').
    """
    gates, weight = spread_like(gates, weight), spread_like(weight, gates)
    mask = spread_like(mask, gates)
    if not reverse:
        return _recur(gates, mask, weight)
    return _recur(gates[::-1], mask[::-1], weight)[::-1]


def multiply(x: Float[Array, "... n"], weight: Float[Array, "n m"]) -> Float[Array, "... m"]:
    """`x @ weight` at the precision of `weight`, float32 `[..., m]`.

    A cell adds up what it reads over many steps: bfloat16 is for the products, not for the sums.
    """
    return jnp.matmul(x.astype(weight.dtype), weight, preferred_element_type=jnp.float32)


@jax.custom_vjp
def _recur(gates: Gates, mask: Mask, weight: Weight) -> States:
    return _forward(gates, mask, weight)[0]


def _forward(gates: Gates, mask: Mask, weight: Weight) -> tuple[States, tuple[_Kept, Mask, Weight]]:
    def step(carry: tuple[Array, Array], now: tuple[Array, Array]):  # type: ignore[no-untyped-def]  # noqa: ANN202
        (hidden, cell), (inputs, real) = carry, now
        i, f, g, o = jnp.split(inputs + multiply(hidden, weight), 4, axis=-1)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        new_cell = f * cell + i * g
        new_hidden = jnp.where(real[:, None], o * jnp.tanh(new_cell), hidden)
        kept = _Kept(i, f, g, o, cell, hidden)
        return (new_hidden, jnp.where(real[:, None], new_cell, cell)), (new_hidden, kept)

    # zeros of the gates, not just zeros: inside shard_map they vary over devices as those do
    start = jnp.zeros_like(gates[0, :, : weight.shape[0]])
    _, (states, kept) = jax.lax.scan(step, (start, start), (gates, mask))
    return states, (kept, mask, weight)


def _backward(saved: tuple[_Kept, Mask, Weight], gradient: States) -> tuple[Gates, None, Weight]:
    kept, mask, weight = saved

    def step(carry: tuple[Array, Array], now: tuple[Array, _Kept, Array]):  # type: ignore[no-untyped-def]  # noqa: ANN202
        (d_hidden, d_cell), (d_state, k, real) = carry, now
        d_hidden, real = d_hidden + d_state, real[:, None]
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
        d_before = jnp.where(real, multiply(d_gates, weight.T), d_hidden)
        return (d_before, jnp.where(real, d_new * k.f, d_cell)), d_gates

    start = jnp.zeros_like(gradient[0])
    _, d_gates = jax.lax.scan(step, (start, start), (gradient, kept, mask), reverse=True)
    d_weight = jnp.einsum("lbu,lbg->ug", kept.hidden, d_gates)
    return d_gates, None, d_weight.astype(weight.dtype)


_recur.defvjp(_forward, _backward)
