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
# Evaluating costs by the channels, products by their square: below, the definition is as fast.
# Measured on two cores at widths 2, 3 and 5 with 32 to 512 channels.
FEWEST_NUMBERS = 384
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


def pays(width: int, inputs: int, filters: int) -> bool:
    """Whether a kernel `[width, inputs, filters]` is large enough to gain by its evaluation.

    >>> pays(3, 300, 128), pays(3, 64, 64), pays(7, 1024, 1024)
    (True, False, False)
    """
    return width in WIDTHS and width * min(inputs, filters) >= FEWEST_NUMBERS


def taps_in_reach(width: int, length: int) -> range:
    """The taps of a filter that see a step of a sequence of this length at all.

    >>> taps_in_reach(5, 2), taps_in_reach(3, 1)
    (range(1, 4), range(1, 2))
    """
    before = (width - 1) // 2
    return range(max(0, before - length + 1), min(width, before + length))


def takes_fewer(width: int, length: int) -> bool:
    """Whether tiles take fewer products than the definition for rows of this length.

    >>> {width: [n for n in range(1, 9) if not takes_fewer(width, n)] for width in WIDTHS}
    {2: [1, 2, 3, 6], 3: [1, 2], 4: [1, 2], 5: [1, 2]}
    """
    products = length * len(taps_in_reach(width, length))
    return N * tiled_length(length, width) < products * (N + 1 - width)


def evaluated(weight: Float[Array, "width inputs filters"]) -> Float[Array, "n inputs filters"]:
    """A kernel as `correlate` takes it."""
    rows = transforms(len(weight)).evaluate_filter
    return jnp.stack([combined(row, list(weight)) for row in rows])


def tiled_length(length: int, width: int) -> int:
    """The length that whole tiles of outputs make of sequences of `length`."""
    outputs = N + 1 - width
    return -(-length // outputs) * outputs


def correlate(
    x: Float[Array, "batch length inputs"], kernel: Float[Array, "n inputs filters"], width: int
) -> Float[Array, "batch length filters"]:
    """Same-length convolution with an evaluated kernel of `width` taps, each row by itself.

    An even width reaches one step further to the right than to the left, as in `model.hcnn`.
    Rows of a `tiled_length` take no copy.
    """
    inputs = evaluated_inputs(x, width)
    products = [jnp.matmul(a, b) for a, b in zip(inputs, kernel, strict=True)]
    tiles = jnp.stack([combined(row, products) for row in transforms(width).interpolate], axis=2)
    return tiles.reshape(x.shape[0], -1, kernel.shape[2])[:, : x.shape[1]]


def evaluated_inputs(x: Float[Array, "batch length inputs"], width: int) -> list[Array]:
    """At each of the N points, `[batch, tiles, inputs]`."""
    read = each_nth(x, N + 1 - width, N, (width - 1) // 2)
    return [combined(row, read) for row in transforms(width).evaluate_inputs]


def sees_something(
    x: Float[Array, "batch length inputs"], width: int
) -> Bool[Array, "batch length"]:
    """Whether a filter sees anything but zeros: else rounding decides the sign of what it gives."""
    return seen(x, width, (width - 1) // 2)


def seen(
    x: Float[Array, "batch length channels"], width: int, before: int
) -> Bool[Array, "batch length"]:
    """Whether anything but zeros is among `width` steps that begin `before` each."""
    steps = (x != 0).any(axis=2)
    padded = jnp.pad(steps, ((0, 0), (before, width - 1 - before)))
    return jnp.stack([padded[:, k : k + steps.shape[1]] for k in range(width)]).any(axis=0)


def each_nth(x: Array, outputs: int, reads: int, before: int) -> list[Array]:
    """What the tiles of a row read first, second and so on, `[batch, tiles, numbers]` each.

    A tile gives `outputs` and reads `reads`; the first begins `before` steps ahead of the row.
    """
    tiles = -(-x.shape[1] // outputs)
    behind = tiles * outputs + reads - outputs - before - x.shape[1]
    padded = jnp.pad(x, ((0, 0), (before, behind), (0, 0)))
    last = outputs * (tiles - 1) + 1
    return [padded[:, k : k + last : outputs] for k in range(reads)]


def _powers(number: int) -> Matrix:
    """Powers 0..number-1 of every point, `[N, number]`; of infinity only the last."""
    last = np.eye(number)[-1:]
    return np.concatenate([np.vander(POINTS, number, increasing=True), last])


def combined(factors: npt.NDArray[np.float64], terms: Sequence[Array]) -> Array:
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
