"""The machine's own rate: float32 matrix products through JAX, measured beside what it bounds."""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from bench.timing import seconds

SIZES = (1024, 1536, 2048)


def gflops(repeats: int = 5, sizes: tuple[int, ...] = SIZES) -> float:
    """The best rate of square products, in 1e9 multiplications and additions a second."""
    return max(_rate(size, repeats) for size in sizes)


def _rate(size: int, repeats: int) -> float:
    product, a = _product(size)
    fastest = min(seconds(lambda: product(a, a).block_until_ready()) for _ in range(repeats))
    return 2 * size**3 / fastest / 1e9


@lru_cache
def _product(size: int) -> tuple[Any, Any]:
    a = jax.random.normal(jax.random.key(0), (size, size), jnp.float32)
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    return product, a
