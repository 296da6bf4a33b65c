import time
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2v_jax.scoring.buckets import batch_ladder, fitted_ladder, geometric_ladder

HISTOGRAM = st.lists(st.integers(0, 9), min_size=1, max_size=14).map(np.array)


def padded_tokens(histogram, ladder):
    """What rows of this histogram take up, each cut to the last rung and filled up to a rung."""
    rungs = np.array(ladder)
    at = np.searchsorted(rungs, np.minimum(np.arange(len(histogram)), rungs[-1]))
    return int((rungs[at] * histogram).sum())


def least(histogram, longest, rungs):
    """The padded tokens of the best ladder, found by trying all."""
    ladders = (
        (*below, longest)
        for n in range(min(rungs, longest))
        for below in combinations(range(1, longest), n)
    )
    return min(padded_tokens(histogram, ladder) for ladder in ladders)


@given(st.integers(1, 5000), st.integers(1, 12))
def test_geometric_ladder_rises_to_the_longest(longest, rungs):
    ladder = geometric_ladder(longest, rungs)
    assert ladder[-1] == longest
    assert list(ladder) == sorted(set(ladder))
    assert ladder[0] >= 1
    assert len(ladder) <= rungs


@settings(max_examples=60)
@given(HISTOGRAM, st.integers(1, 10), st.integers(1, 5))
def test_fitted_ladder_is_the_best_of_all(histogram, longest, rungs):
    """Histograms may be longer than `longest`, shorter, or empty."""
    ladder = fitted_ladder(histogram, longest, rungs)
    assert ladder[-1] == longest
    assert list(ladder) == sorted(set(ladder))
    assert ladder[0] >= 1
    assert len(ladder) <= rungs
    assert padded_tokens(histogram, ladder) == least(histogram, longest, rungs)


@settings(max_examples=30)
@given(st.integers(1, 400), st.integers(1, 10), st.integers(0, 2**32 - 1))
def test_fitted_ladder_is_never_worse_than_the_geometric(longest, rungs, seed):
    rng = np.random.default_rng(seed)
    histogram = rng.integers(0, 100, longest + 20) * (rng.random(longest + 20) < 0.3)
    fitted = padded_tokens(histogram, fitted_ladder(histogram, longest, rungs))
    assert fitted <= padded_tokens(histogram, geometric_ladder(longest, rungs))


@pytest.mark.parametrize("longest", [513, 1025, 2049, 5000])
@pytest.mark.parametrize("typical", [1, 7, 40, 600])
def test_fitted_ladder_of_long_models_is_never_worse_than_the_geometric(longest, typical):
    """Most models with a long max_seq_len see mostly short sequences."""
    sequences = np.random.default_rng(0).poisson(typical, 10_000)
    histogram = np.bincount(sequences, minlength=longest + 1)
    fitted = padded_tokens(histogram, fitted_ladder(histogram, longest, 10))
    assert fitted <= padded_tokens(histogram, geometric_ladder(longest, 10))


def test_ladders_of_one():
    assert fitted_ladder(np.array([3, 5]), 1, 10) == (1,)
    assert geometric_ladder(1, 10) == (1,)


def test_sequences_above_the_longest_count_as_cut_to_it():
    assert fitted_ladder(np.array([0, 0, 0, 0, 0, 9]), 3, 2) == (3,)
    assert fitted_ladder(np.array([0, 5, 0, 0, 0, 9]), 3, 2) == (1, 3)


@pytest.mark.parametrize("longest", [512, 513, 1023, 1025, 4999, 5000])
def test_fitted_ladder_of_the_longest_models(longest):
    histogram = np.random.default_rng(0).integers(0, 100, 6000)
    ladder = fitted_ladder(histogram, longest, 10)
    assert (len(ladder), ladder[-1]) == (10, longest)
    assert list(ladder) == sorted(set(ladder))
    assert seconds(lambda: fitted_ladder(histogram, longest, 10)) < 1.0


@given(st.integers(1, 5000), st.integers(1, 100_000))
def test_batch_ladder_starts_at_one_and_keeps_to_the_budget(length, budget):
    ladder = batch_ladder(length, budget)
    assert ladder[0] == 1
    assert list(ladder) == sorted(set(ladder))
    assert ladder[-1] * length <= max(budget, length)
    assert 2 * ladder[-1] * length > budget
    assert all(size & (size - 1) == 0 for size in ladder)


@given(st.integers(1, 5000), st.integers(1, 100_000))
def test_a_batch_is_four_times_the_one_before_but_for_the_first(length, budget):
    one, *ladder = batch_ladder(length, budget)
    assert not ladder or 2 * one <= ladder[0] <= 4 * one
    assert all(4 * below == above for below, above in pairwise(ladder))


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
