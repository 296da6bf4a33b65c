"""The comparator joins two encodings into the vector that the MLP reads."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float

Vectors: TypeAlias = Float[Array, "batch width"]

COMPARATORS: dict[str, Callable[[Vectors, Vectors], tuple[Vectors, ...]]] = {
    "hadamard": lambda enc0, enc1: (enc0 * enc1,),
    "concat": lambda enc0, enc1: (enc0, enc1),
    "abs_diff": lambda enc0, enc1: (jnp.abs(enc0 - enc1),),
}


def compare(
    names: Sequence[str], enc0: Float[Array, "batch enc_dim"], enc1: Float[Array, "batch enc_dim"]
) -> list[Float[Array, "batch enc_dim"]]:
    """The named comparisons of two encodings, in the order of `names`: the parts of the vector.

    They are not concatenated, which would write the largest array of the network to memory.
    """
    return [part for name in names for part in COMPARATORS[name](enc0, enc1)]


def compared_width(names: Sequence[str], enc_dim: int) -> int:
    """Width of what `compare` returns: `concat` counts twice."""
    return sum(2 * enc_dim if name == "concat" else enc_dim for name in names)
