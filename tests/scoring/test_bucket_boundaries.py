import time
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2v_jax.scoring.buckets import fit_boundaries, make_batch_sizes, make_geometric_boundaries

HISTOGRAM = st.lists(st.integers(0, 9), min_size=1, max_size=14).map(np.array)


def padded_tokens(histogram, boundaries):
    """What rows of this histogram take up, each cut to the last bucket and padded to one."""
    buckets = np.array(boundaries)
    at = np.searchsorted(buckets, np.minimum(np.arange(len(histogram)), buckets[-1]))
    return int((buckets[at] * histogram).sum())


def least(histogram, longest, buckets):
    """The padded tokens of the best boundaries, found by trying all."""
    boundaries_of_all = (
        (*below, longest)
        for n in range(min(buckets, longest))
        for below in combinations(range(1, longest), n)
    )
    return min(padded_tokens(histogram, boundaries) for boundaries in boundaries_of_all)


@given(st.integers(1, 5000), st.integers(1, 12))
def test_geometric_boundaries_rise_to_the_longest(longest, buckets):
    boundaries = make_geometric_boundaries(longest, buckets)
    assert boundaries[-1] == longest
    assert list(boundaries) == sorted(set(boundaries))
    assert boundaries[0] >= 1
    assert len(boundaries) <= buckets


@settings(max_examples=60)
@given(HISTOGRAM, st.integers(1, 10), st.integers(1, 5))
def test_fitted_boundaries_are_the_best_of_all(histogram, longest, buckets):
    """Histograms may be longer than `longest`, shorter, or empty."""
    boundaries = fit_boundaries(histogram, longest, buckets)
    assert boundaries[-1] == longest
    assert list(boundaries) == sorted(set(boundaries))
    assert boundaries[0] >= 1
    assert len(boundaries) <= buckets
    assert padded_tokens(histogram, boundaries) == least(histogram, longest, buckets)


@settings(max_examples=30)
@given(st.integers(1, 400), st.integers(1, 10), st.integers(0, 2**32 - 1))
def test_fitted_boundaries_are_never_worse_than_the_geometric(longest, buckets, seed):
    rng = np.random.default_rng(seed)
    histogram = rng.integers(0, 100, longest + 20) * (rng.random(longest + 20) < 0.3)
    fitted = padded_tokens(histogram, fit_boundaries(histogram, longest, buckets))
    assert fitted <= padded_tokens(histogram, make_geometric_boundaries(longest, buckets))


@pytest.mark.parametrize("longest", [513, 1025, 2049, 5000])
@pytest.mark.parametrize("typical", [1, 7, 40, 600])
def test_fitted_boundaries_of_long_models_are_never_worse_than_the_geometric(longest, typical):
    """Most models with a long max_seq_len see mostly short sequences."""
    sequences = np.random.default_rng(0).poisson(typical, 10_000)
    histogram = np.bincount(sequences, minlength=longest + 1)
    fitted = padded_tokens(histogram, fit_boundaries(histogram, longest, 10))
    assert fitted <= padded_tokens(histogram, make_geometric_boundaries(longest, 10))


def test_boundaries_of_one():
    assert fit_boundaries(np.array([3, 5]), 1, 10) == (1,)
    assert make_geometric_boundaries(1, 10) == (1,)


def test_sequences_above_the_longest_count_as_cut_to_it():
    assert fit_boundaries(np.array([0, 0, 0, 0, 0, 9]), 3, 2) == (3,)
    assert fit_boundaries(np.array([0, 5, 0, 0, 0, 9]), 3, 2) == (1, 3)


@pytest.mark.parametrize("longest", [512, 513, 1023, 1025, 4999, 5000])
def test_fitted_boundaries_of_the_longest_models(longest):
    histogram = np.random.default_rng(0).integers(0, 100, 6000)
    boundaries = fit_boundaries(histogram, longest, 10)
    assert (len(boundaries), boundaries[-1]) == (10, longest)
    assert list(boundaries) == sorted(set(boundaries))
    assert seconds(lambda: fit_boundaries(histogram, longest, 10)) < 1.0


@given(st.integers(1, 5000), st.integers(1, 100_000))
def test_batch_sizes_start_at_one_and_keep_to_the_budget(length, budget):
    boundaries = make_batch_sizes(length, budget)
    assert boundaries[0] == 1
    assert list(boundaries) == sorted(set(boundaries))
    assert boundaries[-1] * length <= max(budget, length)
    assert 2 * boundaries[-1] * length > budget
    assert all(size & (size - 1) == 0 for size in boundaries)


@given(st.integers(1, 5000), st.integers(1, 100_000))
def test_a_batch_is_four_times_the_one_before_but_for_the_first(length, budget):
    one, *boundaries = make_batch_sizes(length, budget)
    assert not boundaries or 2 * one <= boundaries[0] <= 4 * one
    assert all(4 * below == above for below, above in pairwise(boundaries))


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
