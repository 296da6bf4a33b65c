"""What is compiled for one kind of device and dtype computes what it should."""

import jax
import numpy as np
import pytest

from o2v_jax.scoring.compiler import Compiler

MATRIX = jax.ShapeDtypeStruct((3, 3), np.float32)


@pytest.mark.parametrize("dtype", ["float32", "tensorfloat32", "bfloat16"])
@pytest.mark.parametrize("platform", ["cpu", "gpu", "tpu"])
def test_a_program_computes_its_function(platform, dtype):
    """XLA knows every option, on whatever device."""
    program = Compiler(platform, dtype)(lambda a, b: a @ b, MATRIX, MATRIX)
    a, b = np.random.default_rng(0).random((2, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(program(a, b), a @ b, rtol=1e-6)


@pytest.mark.parametrize(
    ("platform", "dtype", "precision"),
    [
        ("gpu", "float32", "highest"),
        ("gpu", "tensorfloat32", "tensorfloat32"),
        ("gpu", "bfloat16", None),
        ("cpu", "float32", None),
        ("cpu", "tensorfloat32", None),
    ],
)
def test_factors_are_rounded_only_where_that_is_asked_for(platform, dtype, precision):
    asked = []

    def product(a):
        asked.append(jax.config.jax_default_matmul_precision)
        return a @ a

    Compiler(platform, dtype)(product, MATRIX)
    assert asked == [precision]


def test_what_is_donated_is_taken_over():
    program = Compiler("cpu", "float32")(lambda a: a + 1, MATRIX, donate=0)
    given = jax.device_put(np.zeros((3, 3), np.float32))
    program(given)
    assert given.is_deleted()
