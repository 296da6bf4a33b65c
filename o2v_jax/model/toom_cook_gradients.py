"""Gradients of a convolution of fewer products, in as few: its transposed transforms."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from o2v_jax.model.ops.winograd import (
    N,
    combined,
    each_nth,
    evaluate_filter,
    evaluated_inputs,
    seen,
    transforms,
)

# Errors of a kernel's gradient, relative to the norms of its input and its output, stay below 4e-7.
ROUNDING = 2.0**-20


def gradients(
    x: Float[Array, "batch length inputs"],
    kernel: Float[Array, "n inputs filters"],
    width: int,
    gradient: Float[Array, "batch length filters"],
) -> tuple[Float[Array, "batch length inputs"], Float[Array, "width inputs filters"]]:
    """Of the inputs and of the kernel before its evaluation, from that of `correlate`'s outputs.

    What is zero by definition is exactly zero: optimizers that divide by a gradient's size would
    make full steps of what rounding leaves there.
    """
    outputs = N + 1 - width
    tiles = each_nth(gradient, outputs, outputs, 0)
    evaluated = [combined(column, tiles) for column in transforms(width, outputs).interpolate.T]
    of_inputs = _of_inputs(evaluated, kernel, width)[:, : x.shape[1]]
    follows = seen(gradient, width, width // 2)
    of_weight = _of_weight(evaluated_inputs(x, width), evaluated, width)
    lost = _is_rounding(of_weight, x, gradient)
    return jnp.where(follows[..., None], of_inputs, 0.0), jnp.where(lost, 0.0, of_weight)


def _of_inputs(evaluated: list[Array], kernel: Array, width: int) -> Array:
    products = [jnp.matmul(a, b.T) for a, b in zip(evaluated, kernel, strict=True)]
    outputs = N + 1 - width
    read = [combined(column, products) for column in transforms(width, outputs).evaluate_inputs.T]
    return _added_up(read, outputs)[:, (width - 1) // 2 :]


def _of_weight(inputs: list[Array], evaluated: list[Array], width: int) -> Array:
    products = [jnp.matmul(_flat(a).T, _flat(b)) for a, b in zip(inputs, evaluated, strict=True)]
    taps = [combined(column, products) for column in evaluate_filter(width).T]
    # stacked by XLA together with the products they take half as long again
    return jnp.stack(jax.lax.optimization_barrier(taps))


def _added_up(read: list[Array], outputs: int) -> Array:
    """The steps of a row, from what its tiles give to the steps that they read, `each_nth` undone.

    A tile reads the first steps of those behind it too.
    """
    behind = (N - 1) // outputs
    late = [
        jnp.pad(part, ((0, 0), (k // outputs, behind - k // outputs), (0, 0)))
        for k, part in enumerate(read)
    ]
    steps = jnp.stack([sum(late[k + outputs :: outputs], late[k]) for k in range(outputs)], axis=2)
    return steps.reshape(steps.shape[0], -1, steps.shape[3])


def _is_rounding(of_weight: Array, x: Array, gradient: Array) -> Array:
    """Where a gradient cannot be told from rounding errors.

    There an input and an output never met, of which a ReLU and a maximum leave many.
    """
    rounding = ROUNDING * _norms(x)[None, :, None] * _norms(gradient)[None, None]
    return (jnp.abs(of_weight) <= rounding) & jnp.isfinite(rounding)


def _norms(x: Array) -> Array:
    """Of each channel over the batch, float32 `[channels]`."""
    return jnp.sqrt(jnp.square(x).sum(axis=(0, 1)))


def _flat(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])
