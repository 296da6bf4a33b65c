"""Convolutions of fewer products are convolutions: exactly, and in float32 nearly as exact."""

import jax
import numpy as np
import pytest
from reference import network as reference

from o2v_jax.model.hcnn import convolve
from o2v_jax.model.ops.winograd_transforms import (
    WIDTHS,
    N,
    make_filter_transform,
    make_transforms,
)
from o2v_jax.scoring.folding.hcnn import convolve_folded, fold_kernel

LENGTHS = range(1, 14)  # shorter than any filter, a tile's multiples and all between


def normal(*shape):
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def expected(x, weight):
    """The reference ends in a ReLU: the positive part less that of the negated convolution."""
    none = np.zeros(weight.shape[2])
    return reference.convolution(x, weight, none) - reference.convolution(x, -weight, none)


def rms(error):
    return np.sqrt(np.mean(np.square(error, dtype=np.float64)))


def test_the_reference_without_its_relu():
    x, weight = normal(5, 3), normal(1, 3, 4)
    np.testing.assert_allclose(expected(x, weight), np.float64(x) @ weight[0], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("width", range(1, 10))
def test_the_same_as_the_definition(width):
    weight, lines = normal(width, 3, 4), [normal(length, 3) for length in LENGTHS]
    found_all = jax.jit(convolve_all)(lines, fold_kernel(weight, min_fan=1))
    for line, found in zip(lines, found_all, strict=True):
        np.testing.assert_allclose(found, expected(line, weight), rtol=1e-5, atol=1e-5)


def convolve_all(lines, kernel):
    return [convolve_folded(line[None], kernel)[0] for line in lines]


@pytest.mark.parametrize("width", range(1, 10))
def test_a_kernel_is_transformed_where_that_saves_products(width):
    weight = normal(width, 3, 4)
    kernel = fold_kernel(weight, min_fan=1)
    assert kernel.pop("weight") is weight
    transformed = [(N, 3, 4)] if 1 < width < 6 else []
    assert [array.shape for array in kernel.values()] == transformed
    assert {array.dtype for array in kernel.values()} <= {np.dtype(np.float32)}


@pytest.mark.parametrize("width", WIDTHS)
def test_transforms_are_exact(width):
    """As a tensor: output o takes input i times tap i - o, with factor 1, and nothing else."""
    for outputs in range(1, N + 2 - width):
        points, transform_inputs, interpolate = make_transforms(width, outputs)
        at_points = make_filter_transform(width)[list(points)]
        found = np.einsum("on,nw,ni->oiw", interpolate, at_points, transform_inputs)
        o, i, w = np.indices(found.shape)
        np.testing.assert_allclose(found, i == o + w, rtol=0, atol=1e-14)
        assert found.shape == (outputs, outputs + width - 1, width)


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_rounding_errors_stay_near_those_of_the_definition(width):
    for length in range(56, 61):
        x, weight = normal(length, 256), normal(width, 256, 256)
        wanted = expected(x, weight)
        direct = jax.jit(convolve)(x[None], weight)[0]
        found = jax.jit(convolve_folded)(x[None], fold_kernel(weight))[0]
        assert 0 < rms(found - wanted) < 5 * rms(direct - wanted)
