"""The transforms of Winograd convolution, as matrices of float64.

A filter of r taps gives m neighbouring outputs with m r products, as it is defined. Minimal
filtering takes n = m + r - 1: filter and inputs are read as polynomials, evaluated at n points,
multiplied point by point, and the outputs interpolated (Winograd 1980; for networks Lavin and Gray,
arXiv:1509.09308).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

# With the point at infinity there are six. Numbers that float32 holds exactly, near 1 and in pairs
# of either sign: rounding errors are 2.6 times those of the definition (3.7 times at 0, +-1, +-2).
POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
N = len(POINTS) + 1
# which of them serve the last tile of a row, with fewer outputs: as small and as even as can be
PARTIAL_POINTS = {2: (0, 5), 3: (0, 1, 2), 4: (0, 1, 2, 5), 5: (0, 1, 2, 3, 4)}
WIDTHS = range(2, N)  # of filters: for one tap there is nothing to save, and six take a tile each
Matrix: TypeAlias = npt.NDArray[np.float64]


class Transforms(NamedTuple):
    """outputs = interpolate @ ((transform_filter @ filter)[points] * (transform_inputs @ inputs)).

    Attributes:
        points: numbers of n of the N points.
        transform_inputs: `[n, n]`.
        interpolate: `[n + 1 - width, n]`.
    """

    points: tuple[int, ...]
    transform_inputs: Matrix
    interpolate: Matrix


@lru_cache
def make_filter_transform(width: int) -> Matrix:
    """`[N, width]`: at every point a filter's value, over the product of its distances."""
    matrix = _compute_powers(range(N), width)
    for k, point in enumerate(POINTS):
        matrix[k] /= _multiply_distances(point, POINTS)
    return matrix


@lru_cache
def make_transforms(width: int, outputs: int) -> Transforms:
    """The transforms for so many outputs: Lagrange's interpolation, transposed to correlate.

    >>> taps, inputs = np.arange(1.0, 4), np.arange(6.0) ** 2
    >>> for outputs in (4, 2):
    ...     points, transform_inputs, interpolate = make_transforms(3, outputs)
    ...     values = (make_filter_transform(3) @ taps)[list(points)]
    ...     (interpolate @ (values * (transform_inputs @ inputs[: outputs + 2]))).round(9)
    array([ 14.,  36.,  70., 116.])
    array([14., 36.])
    """
    n = outputs + width - 1
    points = PARTIAL_POINTS.get(n, tuple(range(N)))
    finite = [POINTS[k] for k in points if k < len(POINTS)]
    transform_inputs = np.zeros((n, n))
    for row, k in zip(transform_inputs, points, strict=True):
        others = [point for point in finite if k == len(POINTS) or point != POINTS[k]]
        row[: len(others) + 1] = np.polynomial.polynomial.polyfromroots(others)
        if k < len(POINTS):  # the filter was evaluated for all N points
            every = _multiply_distances(POINTS[k], POINTS)
            row[:] *= every / _multiply_distances(POINTS[k], finite)
    return Transforms(points, transform_inputs, _compute_powers(points, outputs).T)


def _compute_powers(points: Sequence[int], number: int) -> Matrix:
    """Powers 0..number-1 of these points, `[points, number]`; of infinity only the last."""
    last = np.eye(number)[-1:]
    every = np.concatenate([np.vander(POINTS, number, increasing=True), last])
    return every[list(points)]


def _multiply_distances(point: float, points: Sequence[float]) -> float:
    """The product of its differences from the others."""
    return float(np.prod([point - other for other in points if other != point]))
