"""Convolutions over time with half the multiplications.

A filter of r taps gives m neighbouring outputs with m r products, as it is defined. Toom and Cook
(1963, 1966) take n = m + r - 1: filter and inputs are read as polynomials, evaluated at n points,
multiplied point by point, and the outputs interpolated. Winograd (1980) applied this to filters,
Lavin and Gray (arXiv:1509.09308) to networks. Evaluating and interpolating are a few additions a
number; the products are those of whole matrices, and there are 1.7 to 2 times fewer of them.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Bool, Float

# With the point at infinity there are six. Numbers that float32 holds exactly, near 1 and in pairs
# of either sign: rounding errors are 2.6 times those of the definition (3.7 times at 0, +-1, +-2).
POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
N = len(POINTS) + 1
WIDTHS = range(2, N)  # of filters: for one tap there is nothing to save, and six take a tile each

Matrix = npt.NDArray[np.float64]


class Transforms(NamedTuple):
    """outputs = interpolate @ ((evaluate_filter @ filter) * (evaluate_inputs @ inputs)).

    Attributes:
        evaluate_filter: `[N, width]`.
        evaluate_inputs: `[N, N]`.
        interpolate: `[N + 1 - width, N]`.
    """

    evaluate_filter: Matrix
    evaluate_inputs: Matrix
    interpolate: Matrix


@lru_cache
def transforms(width: int) -> Transforms:
    """Of filters of `width` taps: Lagrange's interpolation, transposed to give a correlation.

    >>> one = transforms(3)
    >>> taps, inputs = np.arange(1.0, 4), np.arange(6.0) ** 2
    >>> products = (one.evaluate_filter @ taps) * (one.evaluate_inputs @ inputs)
    >>> (one.interpolate @ products).round(9)
    array([ 14.,  36.,  70., 116.])
    """
    outputs = N + 1 - width
    evaluate_filter, interpolate = _powers(width), _powers(outputs).T
    evaluate_inputs = np.zeros((N, N))
    for k, point in enumerate(POINTS):
        others = [other for other in POINTS if other != point]
        evaluate_inputs[k, : N - 1] = np.polynomial.polynomial.polyfromroots(others)
        evaluate_filter[k] /= np.prod([point - other for other in others])
    evaluate_inputs[N - 1] = np.polynomial.polynomial.polyfromroots(POINTS)
    return Transforms(evaluate_filter, evaluate_inputs, interpolate)


def evaluated(weight: Float[Array, "width inputs filters"]) -> Float[Array, "n inputs filters"]:
    """A kernel as `correlate` takes it."""
    rows = transforms(len(weight)).evaluate_filter
    return jnp.stack([_combined(row, list(weight)) for row in rows])


def correlate(
    x: Float[Array, "steps inputs"], kernel: Float[Array, "n inputs filters"], width: int
) -> Float[Array, "steps filters"]:
    """Same-length convolution of one long sequence with an evaluated kernel of `width` taps.

    An even width reaches one step further to the right than to the left, as in `model.hcnn`.
    """
    return _correlate(x, kernel, width, (width - 1) // 2)


def _correlate(x: Array, kernel: Array, width: int, before: int) -> Array:
    """The same, with that many taps before the one of the output's own place."""
    evaluated_inputs = _evaluated_inputs(x, width, before)
    products = [jnp.matmul(a, b) for a, b in zip(evaluated_inputs, kernel, strict=True)]
    tiles = jnp.stack([_combined(row, products) for row in transforms(width).interpolate], axis=1)
    return tiles.reshape(-1, kernel.shape[2])[: len(x)]


def input_gradient(
    gradient: Float[Array, "steps filters"], weight: Float[Array, "width inputs filters"]
) -> Float[Array, "steps inputs"]:
    """Gradient of the inputs, from that of the outputs and the kernel before its evaluation.

    It is exactly zero where no output follows from an input: optimizers that divide by a gradient's
    size would make full steps of what rounding leaves there.
    """
    width, flipped = len(weight), evaluated(jnp.swapaxes(weight[::-1], 1, 2))
    found = _correlate(gradient, flipped, width, width // 2)
    follows = _seen((gradient != 0).any(axis=1), width, width // 2).any(axis=0)
    return jnp.where(follows[:, None], found, 0.0)


def weight_gradient(
    x: Float[Array, "steps inputs"], gradient: Float[Array, "steps filters"], width: int
) -> Float[Array, "width inputs filters"]:
    """Gradient of the kernel of `width` taps, before its evaluation, from that of the outputs.

    It is exactly zero for a tap that met nothing but zeros, as `input_gradient`.
    """
    transform, outputs = transforms(width), N + 1 - width
    padded = jnp.pad(gradient, ((0, -len(gradient) % outputs), (0, 0)))
    tiles = list(jnp.moveaxis(padded.reshape(-1, outputs, gradient.shape[1]), 1, 0))
    products = [
        jnp.matmul(inputs.T, _combined(column, tiles))
        for inputs, column in zip(
            _evaluated_inputs(x, width, (width - 1) // 2), transform.interpolate.T, strict=True
        )
    ]
    found = jnp.stack([_combined(column, products) for column in transform.evaluate_filter.T])
    seen = _seen((x != 0).any(axis=1), width, (width - 1) // 2)
    met = (seen & (gradient != 0).any(axis=1)[None, :]).any(axis=1)
    return jnp.where(met[:, None, None], found, 0.0)


def sees_something(x: Float[Array, "steps inputs"], width: int) -> Bool[Array, "steps"]:
    """Whether a filter sees anything but zeros: else rounding decides the sign of what it gives."""
    return _seen((x != 0).any(axis=1), width, (width - 1) // 2).any(axis=0)


def _seen(steps: Array, width: int, before: int) -> Array:
    """What each tap of a filter sees of the steps, bool `[width, steps]`."""
    padded = jnp.pad(steps, (before, width - 1 - before))
    return jnp.stack([padded[k : k + len(steps)] for k in range(width)])


def _evaluated_inputs(x: Array, width: int, before: int) -> list[Array]:
    read = _windows(x, N + 1 - width, before)
    return [_combined(row, read) for row in transforms(width).evaluate_inputs]


def _powers(number: int) -> Matrix:
    """Powers 0..number-1 of every point, `[N, number]`; of infinity only the last."""
    last = np.eye(number)[-1:]
    return np.concatenate([np.vander(POINTS, number, increasing=True), last])


def _windows(x: Array, outputs: int, before: int) -> list[Array]:
    """The k-th input of every tile, `[tiles, inputs]` each; a tile has `N` and gives `outputs`."""
    tiles = -(-len(x) // outputs)
    # the first tile begins `before` steps early; the last may end late, and reads on past its end
    padded = jnp.pad(x, ((before, (tiles + 1) * outputs + N - len(x)), (0, 0)))
    return [padded[k : k + tiles * outputs].reshape(tiles, outputs, -1)[:, 0] for k in range(N)]


def _combined(factors: npt.NDArray[np.float64], terms: Sequence[Array]) -> Array:
    """The sum of the terms, each times its factor; those times 0 are left out."""
    scaled = [
        term if factor == 1 else term * float(factor)
        for factor, term in zip(factors, terms, strict=True)
        if factor
    ]
    total = scaled[0]
    for term in scaled[1:]:
        total = total + term
    return total
