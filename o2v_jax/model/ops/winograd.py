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

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Bool, Float

# With the point at infinity there are six. Numbers that float32 holds exactly, near 1 and in pairs
# of either sign: rounding errors are 2.6 times those of the definition (3.7 times at 0, +-1, +-2).
POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
N = len(POINTS) + 1
# which of them serve where a row's last tile has fewer outputs: as small and as even as can be
FEWER = {2: (0, 5), 3: (0, 1, 2), 4: (0, 1, 2, 5), 5: (0, 1, 2, 3, 4)}
WIDTHS = range(2, N)  # of filters: for one tap there is nothing to save, and six take a tile each
# Evaluating costs by the channels, products by their square: below, the definition is as fast.
# Measured on two cores at widths 2, 3 and 5 with 32 to 512 channels.
FEWEST_NUMBERS = 384
Matrix = npt.NDArray[np.float64]


class Transforms(NamedTuple):
    """outputs = interpolate @ ((evaluate_filter @ filter)[points] * (evaluate_inputs @ inputs)).

    Attributes:
        points: which of the N points, n of them.
        evaluate_inputs: `[n, n]`.
        interpolate: `[n + 1 - width, n]`.
    """

    points: tuple[int, ...]
    evaluate_inputs: Matrix
    interpolate: Matrix


@lru_cache
def evaluate_filter(width: int) -> Matrix:
    """`[N, width]`: at every point a filter's value, over the product of its distances."""
    matrix = _powers(range(N), width)
    for k, point in enumerate(POINTS):
        matrix[k] /= _distances(point, POINTS)
    return matrix


@lru_cache
def transforms(width: int, outputs: int) -> Transforms:
    """For so many outputs: Lagrange's interpolation, transposed to give a correlation.

    >>> taps, inputs = np.arange(1.0, 4), np.arange(6.0) ** 2
    >>> for outputs in (4, 2):
    ...     points, evaluate_inputs, interpolate = transforms(3, outputs)
    ...     values = (evaluate_filter(3) @ taps)[list(points)]
    ...     (interpolate @ (values * (evaluate_inputs @ inputs[: outputs + 2]))).round(9)
    array([ 14.,  36.,  70., 116.])
    array([14., 36.])
    """
    n = outputs + width - 1
    points = FEWER.get(n, tuple(range(N)))
    finite = [POINTS[k] for k in points if k < len(POINTS)]
    evaluate_inputs = np.zeros((n, n))
    for row, k in zip(evaluate_inputs, points, strict=True):
        others = [point for point in finite if k == len(POINTS) or point != POINTS[k]]
        row[: len(others) + 1] = np.polynomial.polynomial.polyfromroots(others)
        if k < len(POINTS):  # the filter was evaluated for all N points
            row[:] *= _distances(POINTS[k], POINTS) / _distances(POINTS[k], finite)
    return Transforms(points, evaluate_inputs, _powers(points, outputs).T)


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
    {2: [1], 3: [1], 4: [1], 5: [1, 2]}
    """
    tiles, rest = divmod(length, N + 1 - width)
    products = N * tiles + (rest + width - 1 if rest else 0)
    return products < length * len(taps_in_reach(width, length))


def evaluated(weight: Float[Array, "width inputs filters"]) -> Float[Array, "n inputs filters"]:
    """A kernel as `correlate` takes it."""
    return jnp.stack([combined(row, list(weight)) for row in evaluate_filter(len(weight))])


def tiled_length(length: int, width: int) -> int:
    """The length that whole tiles of outputs make of sequences of `length`."""
    outputs = N + 1 - width
    return -(-length // outputs) * outputs


def correlate(
    x: Float[Array, "batch length inputs"], kernel: Float[Array, "n inputs filters"], width: int
) -> Float[Array, "batch length filters"]:
    """Same-length convolution with an evaluated kernel of `width` taps, each row by itself.

    A row is cut into tiles of N + 1 - width outputs, which take N products, and a rest of r, which
    takes r + width - 1. An even width reaches one step further to the right than to the left, as
    in `model.hcnn`.
    """
    outputs, before = N + 1 - width, (width - 1) // 2
    tiles, rest = divmod(x.shape[1], outputs)
    padded = jnp.pad(x, ((0, 0), (before, width - 1 - before), (0, 0)))
    cuts = [(0, tiles, outputs)] * bool(tiles) + [(tiles * outputs, 1, rest)] * bool(rest)
    inputs = [_evaluated(padded, width, *cut) for cut in cuts]
    products = _products(inputs, kernel)
    done = [_interpolated(part, width, cut[2]) for part, cut in zip(products, cuts, strict=True)]
    return jnp.concatenate(done, axis=1) if len(done) > 1 else done[0]


def evaluated_inputs(x: Float[Array, "batch length inputs"], width: int) -> list[Array]:
    """At each of the N points, `[batch, tiles, inputs]`, of whole tiles."""
    read = each_nth(x, N + 1 - width, N, (width - 1) // 2)
    return [combined(row, read) for row in transforms(width, N + 1 - width).evaluate_inputs]


def _evaluated(padded: Array, width: int, start: int, tiles: int, outputs: int) -> dict[int, Array]:
    """The inputs of these tiles at their points, `[batch, tiles, inputs]` each."""
    points, evaluate_inputs, _ = transforms(width, outputs)
    last = start + outputs * (tiles - 1) + 1
    read = [padded[:, start + k : last + k : outputs] for k in range(len(points))]
    return {k: combined(row, read) for k, row in zip(points, evaluate_inputs, strict=True)}


def _products(inputs: list[dict[int, Array]], kernel: Array) -> list[dict[int, Array]]:
    """At each point one product of all tiles of whatever kind, given back for each kind."""
    found: list[dict[int, Array]] = [{} for _ in inputs]
    for k, values in enumerate(kernel):
        parts = [part[k] for part in inputs if k in part]
        if parts:
            together = jnp.matmul(jnp.concatenate(parts, axis=1), values)
            ends = np.cumsum([part.shape[1] for part in parts])[:-1]
            kinds = [kind for kind, part in zip(found, inputs, strict=True) if k in part]
            for kind, product in zip(kinds, jnp.split(together, ends, axis=1), strict=True):
                kind[k] = product
    return found


def _interpolated(products: dict[int, Array], width: int, outputs: int) -> Array:
    """The outputs of tiles, `[batch, tiles * outputs, filters]`."""
    points, _, interpolate = transforms(width, outputs)
    given = [products[k] for k in points]
    steps = jnp.stack([combined(row, given) for row in interpolate], axis=2)
    return steps.reshape(steps.shape[0], -1, steps.shape[3])


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


def _powers(points: Sequence[int], number: int) -> Matrix:
    """Powers 0..number-1 of these points, `[points, number]`; of infinity only the last."""
    last = np.eye(number)[-1:]
    every = np.concatenate([np.vander(POINTS, number, increasing=True), last])
    return every[list(points)]


def _distances(point: float, points: Sequence[float]) -> float:
    """The product of its differences from the others."""
    return float(np.prod([point - other for other in points if other != point]))


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
