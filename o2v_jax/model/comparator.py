"""The comparator joins two encodings into the vector that the MLP reads."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

Vectors = Float[Array, "batch width"]

COMPARATORS: dict[str, Callable[[Vectors, Vectors], Vectors]] = {
    "hadamard": lambda enc0, enc1: enc0 * enc1,
    "concat": lambda enc0, enc1: jnp.concatenate([enc0, enc1], axis=-1),
    "abs_diff": lambda enc0, enc1: jnp.abs(enc0 - enc1),
}


def compare(
    names: Sequence[str], enc0: Float[Array, "batch enc_dim"], enc1: Float[Array, "batch enc_dim"]
) -> Float[Array, "batch width"]:
    """The named comparisons of two encodings, concatenated in the order of `names`."""
    return jnp.concatenate([COMPARATORS[name](enc0, enc1) for name in names], axis=-1)


def compared_width(names: Sequence[str], enc_dim: int) -> int:
    """Width of what `compare` returns: `concat` counts twice."""
    return sum(2 * enc_dim if name == "concat" else enc_dim for name in names)
