"""The machine's own rate: matrix products through JAX, measured beside what it bounds."""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from bench.timing import measure_seconds
from o2v_jax.constants import DType

SIZES = {"cpu": (1024, 1536, 2048), "gpu": (4096, 8192)}


def measure_gflops(dtype: DType = "float32", repeats: int = 5) -> float:
    """The best rate of square products, in 1e9 multiplications and additions a second."""
    sizes = SIZES["cpu" if jax.default_backend() == "cpu" else "gpu"]
    return max(_measure_rate(size, dtype, repeats) for size in sizes)


def _measure_rate(size: int, dtype: DType, repeats: int) -> float:
    product, a = _make_product(size, dtype)
    fastest = min(
        measure_seconds(lambda: product(a, a).block_until_ready()) for _ in range(repeats)
    )
    return 2 * size**3 / fastest / 1e9


@lru_cache
def _make_product(size: int, dtype: DType) -> tuple[Any, Any]:
    held = jnp.bfloat16 if dtype == "bfloat16" else jnp.float32
    a = jax.random.normal(jax.random.key(0), (size, size), held)
    precision = "tensorfloat32" if dtype == "tensorfloat32" else "highest"
    product = jax.jit(lambda x, y: jnp.matmul(x, y, precision=precision))
    product(a, a).block_until_ready()
    return product, a
