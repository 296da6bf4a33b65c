"""Winograd convolution (minimal filtering): same-length convolution over time in fewer products.

Rows are cut into tiles, whose outputs take 1.7 to 2 times fewer products than the definition
(`winograd_transforms` says how). The transforms are a few additions per element; the products are
those of whole matrices. This gains on a CPU; a GPU has units of its own for convolutions.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Bool, Float

from o2v_jax.model.layers import share_batch
from o2v_jax.model.ops.winograd_transforms import (
    WIDTHS,
    N,
    make_filter_transform,
    make_transforms,
)

# Transforms cost by the channels, products by their square: below, the definition is as fast.
# The figure is the least fan-in and fan-out of a kernel: its width times its channels.
# Measured on two cores at widths 2, 3 and 5 with 32 to 512 channels.
MIN_FAN = 384
# Errors of a kernel's gradient, relative to the norms of its input and its output, stay below 4e-7.
ROUNDING = 2.0**-20


def is_profitable(shape: tuple[int, ...], min_fan: int = MIN_FAN) -> bool:
    """Whether a kernel `[width, inputs, filters]` is large enough to gain by its transform.

    `min_fan` is the least fan-in (width times inputs) and fan-out (width times filters).

    >>> is_profitable((3, 300, 128)), is_profitable((3, 64, 64)), is_profitable((7, 1024, 1024))
    (True, False, False)
    """
    width, inputs, filters = shape
    return width in WIDTHS and width * min(inputs, filters) >= min_fan


def choose_min_fan(platform: str) -> int | None:
    """The `min_fan` from which training is faster on a platform, "cpu" for instance.

    None where it never is: a GPU's own convolutions are faster.
    """
    return MIN_FAN if platform == "cpu" else None


def find_taps(width: int, length: int) -> range:
    """The taps of a filter that see a step of a sequence of this length at all.

    >>> find_taps(5, 2), find_taps(3, 1)
    (range(1, 4), range(1, 2))
    """
    before = (width - 1) // 2
    return range(max(0, before - length + 1), min(width, before + length))


def saves_products(width: int, length: int) -> bool:
    """Whether tiles take fewer products than the definition for rows of this length.

    >>> {width: [n for n in range(1, 9) if not saves_products(width, n)] for width in WIDTHS}
    {2: [1], 3: [1], 4: [1], 5: [1, 2]}
    """
    tiles, rest = divmod(length, N + 1 - width)
    products = N * tiles + (rest + width - 1 if rest else 0)
    return products < length * len(find_taps(width, length))


def winograd_convolve(
    x: Float[Array, "batch length inputs"], weight: Float[Array, "width inputs filters"]
) -> Float[Array, "batch length filters"]:
    """Same-length convolution in float32, with a gradient that takes fewer products too.

    It has no forward-mode derivative (`jax.jvp`).
    """
    convolved: Array = share_batch(_convolve, weight, x)
    return convolved


@jax.custom_vjp
def _convolve(weight: Array, x: Array) -> Array:
    return _forward(weight, x)[0]


def _forward(weight: Array, x: Array) -> tuple[Array, tuple[Array, ...]]:
    width, kernel = len(weight), transform_kernel(weight)
    y = convolve_transformed(x, kernel, width)
    sees_nonzero = _find_nonzero(x, width, (width - 1) // 2)
    # exactly zero of zeros, as defined: the ReLU that follows has a gradient above, none at zero
    return jnp.where(sees_nonzero[..., None], y, 0.0), (x, weight, kernel)


def _backward(saved: tuple[Array, ...], gradient: Array) -> tuple[Array, Array]:
    x, weight, kernel = saved
    of_inputs, of_weight = _compute_gradients(x, kernel, len(weight), gradient)
    return of_weight, of_inputs


_convolve.defvjp(_forward, _backward)


def transform_kernel(
    weight: Float[Array, "width inputs filters"],
) -> Float[Array, "n inputs filters"]:
    """A kernel as `convolve_transformed` takes it."""
    return jnp.stack([_combine(row, list(weight)) for row in make_filter_transform(len(weight))])


def round_to_tiles(length: int, width: int) -> int:
    """The length that whole tiles of outputs make of sequences of `length`."""
    outputs = N + 1 - width
    return -(-length // outputs) * outputs


def convolve_transformed(
    x: Float[Array, "batch length inputs"], kernel: Float[Array, "n inputs filters"], width: int
) -> Float[Array, "batch length filters"]:
    """Same-length convolution with a transformed kernel of `width` taps, each row by itself.

    A row is cut into tiles of N + 1 - width outputs, which take N products, and a rest of r, which
    takes r + width - 1. An even width reaches one step further to the right than to the left, as
    in `model.hcnn`.
    """
    outputs, before = N + 1 - width, (width - 1) // 2
    tiles, rest = divmod(x.shape[1], outputs)
    padded = jnp.pad(x, ((0, 0), (before, width - 1 - before), (0, 0)))
    cuts = [(0, tiles, outputs)] * bool(tiles) + [(tiles * outputs, 1, rest)] * bool(rest)
    inputs = [_transform_inputs(padded, width, *cut) for cut in cuts]
    products = _multiply(inputs, kernel)
    done = [_interpolate(part, width, cut[2]) for part, cut in zip(products, cuts, strict=True)]
    return jnp.concatenate(done, axis=1) if len(done) > 1 else done[0]


def _transform_whole(x: Float[Array, "batch length inputs"], width: int) -> list[Array]:
    """At each of the N points, `[batch, tiles, inputs]`, of whole tiles."""
    read = _split_tiles(x, N + 1 - width, N, (width - 1) // 2)
    return [_combine(row, read) for row in make_transforms(width, N + 1 - width).transform_inputs]


def _transform_inputs(
    padded: Array, width: int, start: int, tiles: int, outputs: int
) -> dict[int, Array]:
    """The inputs of these tiles at their points, `[batch, tiles, inputs]` each."""
    points, transform_inputs, _ = make_transforms(width, outputs)
    last = start + outputs * (tiles - 1) + 1
    read = [padded[:, start + k : last + k : outputs] for k in range(len(points))]
    return {k: _combine(row, read) for k, row in zip(points, transform_inputs, strict=True)}


def _multiply(inputs: list[dict[int, Array]], kernel: Array) -> list[dict[int, Array]]:
    """At each point one product of all tiles, whole and partial; returned for each kind apart."""
    found: list[dict[int, Array]] = [{} for _ in inputs]
    for k, values in enumerate(kernel):
        parts = [part[k] for part in inputs if k in part]
        if parts:
            product_of_all = jnp.matmul(jnp.concatenate(parts, axis=1), values)
            ends = np.cumsum([part.shape[1] for part in parts])[:-1]
            kinds = [kind for kind, part in zip(found, inputs, strict=True) if k in part]
            for kind, product in zip(kinds, jnp.split(product_of_all, ends, axis=1), strict=True):
                kind[k] = product
    return found


def _interpolate(products: dict[int, Array], width: int, outputs: int) -> Array:
    """The outputs of tiles, `[batch, tiles * outputs, filters]`."""
    points, _, interpolate = make_transforms(width, outputs)
    given = [products[k] for k in points]
    steps = jnp.stack([_combine(row, given) for row in interpolate], axis=2)
    return steps.reshape(steps.shape[0], -1, steps.shape[3])


def _find_nonzero(
    x: Float[Array, "batch length channels"], width: int, before: int
) -> Bool[Array, "batch length"]:
    """Whether any of the `width` steps from `before` steps ahead of each is not zero.

    For zeros alone, rounding would decide the sign of a filter's output.
    """
    steps = (x != 0).any(axis=2)
    padded = jnp.pad(steps, ((0, 0), (before, width - 1 - before)))
    return jnp.stack([padded[:, k : k + steps.shape[1]] for k in range(width)]).any(axis=0)


def _split_tiles(x: Array, outputs: int, reads: int, before: int) -> list[Array]:
    """What the tiles of a row read first, second and so on, `[batch, tiles, numbers]` each.

    A tile gives `outputs` and reads `reads`; the first begins `before` steps ahead of the row.
    """
    tiles = -(-x.shape[1] // outputs)
    behind = tiles * outputs + reads - outputs - before - x.shape[1]
    padded = jnp.pad(x, ((0, 0), (before, behind), (0, 0)))
    last = outputs * (tiles - 1) + 1
    return [padded[:, k : k + last : outputs] for k in range(reads)]


def _combine(factors: npt.NDArray[np.float64], terms: Sequence[Array]) -> Array:
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


def _compute_gradients(
    x: Float[Array, "batch length inputs"],
    kernel: Float[Array, "n inputs filters"],
    width: int,
    gradient: Float[Array, "batch length filters"],
) -> tuple[Float[Array, "batch length inputs"], Float[Array, "width inputs filters"]]:
    """Gradients of the inputs and of the kernel before its transform, from that of the outputs.

    What is zero by definition is exactly zero: optimizers that divide by a gradient's size would
    make full steps of what rounding leaves there.
    """
    outputs = N + 1 - width
    tiles = _split_tiles(gradient, outputs, outputs, 0)
    transformed = [
        _combine(column, tiles) for column in make_transforms(width, outputs).interpolate.T
    ]
    of_inputs = _differentiate_inputs(transformed, kernel, width)[:, : x.shape[1]]
    follows = _find_nonzero(gradient, width, width // 2)
    of_weight = _differentiate_weight(_transform_whole(x, width), transformed, width)
    lost = _is_rounding(of_weight, x, gradient)
    return jnp.where(follows[..., None], of_inputs, 0.0), jnp.where(lost, 0.0, of_weight)


def _differentiate_inputs(transformed: list[Array], kernel: Array, width: int) -> Array:
    products = [jnp.matmul(a, b.T) for a, b in zip(transformed, kernel, strict=True)]
    outputs = N + 1 - width
    read = [
        _combine(column, products) for column in make_transforms(width, outputs).transform_inputs.T
    ]
    return _add_up(read, outputs)[:, (width - 1) // 2 :]


def _differentiate_weight(inputs: list[Array], transformed: list[Array], width: int) -> Array:
    products = [
        jnp.matmul(_flatten(a).T, _flatten(b)) for a, b in zip(inputs, transformed, strict=True)
    ]
    taps = [_combine(column, products) for column in make_filter_transform(width).T]
    # stacked in one computation with the products they take half as long again
    return jnp.stack(jax.lax.optimization_barrier(taps))


def _add_up(read: list[Array], outputs: int) -> Array:
    """The transpose of `_split_tiles`: adds what each tile gives to the steps that it reads.

    A tile also reads the first steps of the tiles after it.
    """
    behind = (N - 1) // outputs
    late = [
        jnp.pad(part, ((0, 0), (k // outputs, behind - k // outputs), (0, 0)))
        for k, part in enumerate(read)
    ]
    steps = jnp.stack([sum(late[k + outputs :: outputs], late[k]) for k in range(outputs)], axis=2)
    return steps.reshape(steps.shape[0], -1, steps.shape[3])


def _is_rounding(of_weight: Array, x: Array, gradient: Array) -> Array:
    """Finds where a gradient is zero within rounding errors.

    There an input and an output are never nonzero together, as often after ReLU and max-pooling.
    """
    rounding = ROUNDING * _measure_norms(x)[None, :, None] * _measure_norms(gradient)[None, None]
    return (jnp.abs(of_weight) <= rounding) & jnp.isfinite(rounding)


def _measure_norms(x: Array) -> Array:
    """The norm of each channel over the batch, float32 `[channels]`."""
    return jnp.sqrt(jnp.square(x).sum(axis=(0, 1)))


def _flatten(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])
