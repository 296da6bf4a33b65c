"""Random keys for a device's rows of a batch: it draws what one device would draw for those rows.

Threefry makes each number from the key and the number's position alone (Salmon et al. 2011,
"Parallel random numbers: as easy as 1, 2, 3"). So a key that also says at which row of the batch a
device's rows begin lets it draw them, and nothing else. Dropout then does not depend on how many
devices share a batch.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.random import define_prng_impl, threefry2x32_p, threefry_prng_impl


def key_of_rows(key: Array, first: Array) -> Array:
    """A key that draws arrays `[rows, ...]` as the rows from `first` of what `key` draws.

    So it does for the dtypes of 32 bits, as long as an array of the whole batch has fewer than 2^32
    numbers.
    """
    words = jax.random.key_data(key)
    both = jnp.concatenate([words, first.astype(jnp.uint32)[None]])
    placed: Array = jax.random.wrap_key_data(both, impl=_IMPLEMENTATION)
    return placed


def _seed(seed: Array) -> Array:
    return jnp.concatenate([threefry_prng_impl.seed(seed), jnp.zeros(1, jnp.uint32)])


def _split(key: Array, shape: Sequence[int]) -> Array:
    keys = threefry_prng_impl.split(key[:2], shape)
    first = jnp.broadcast_to(key[2:], (*shape, 1))
    return jnp.concatenate([keys, first], axis=-1)


def _fold_in(key: Array, data: int) -> Array:
    return jnp.concatenate([threefry_prng_impl.fold_in(key[:2], data), key[2:]])


def _random_bits(key: Array, width: int, shape: Sequence[int]) -> Array:
    """The exclusive or of the two words that threefry makes of each position, as JAX's own."""
    if width != 32:  # noqa: PLR2004
        raise ValueError(f"rows of a batch are drawn in 32 bits, not in {width}")
    before = key[2] * jnp.uint32(math.prod(shape[1:]))
    low = before + jax.lax.iota(jnp.uint32, math.prod(shape))
    one, two = threefry2x32_p.bind(key[0], key[1], jnp.zeros_like(low), low)
    bits: Array = (one ^ two).reshape(shape)
    return bits


_IMPLEMENTATION = define_prng_impl(
    key_shape=(3,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry2x32 rows",
    tag="rows",
)
