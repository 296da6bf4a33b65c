"""Exact search beside sorting all products."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2v_jax.retrieval import exact
from o2v_jax.retrieval.exact import Excluded, search_exact


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    for name, value in {
        "BLOCK_NUMBERS": 40,
        "FIRST_BLOCK_ROWS": 2,
        "MIN_THREAD_NUMBERS": 10,
    }.items():
        monkeypatch.setattr(exact, name, value)
    monkeypatch.setattr(exact, "QUERIES_AT_A_TIME", 3)


def sort_all(products, k, excluded):
    """The same by the definition."""
    for row, out in zip(products, excluded, strict=True):
        row[out] = np.nan
    ranked = np.where(np.isnan(products), -np.inf, products)
    order = np.argsort(-ranked, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(ranked, order, axis=1)
    return np.where(best > -np.inf, order, -1), best


@st.composite
def searches(draw):
    items, queries = draw(st.integers(1, 60)), draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    # few distinct numbers, so that many products are equal
    vectors = rng.integers(-2, 3, (items, 2)).astype(np.float32)
    if draw(st.booleans()):
        vectors[rng.random(items) < 0.3] = np.nan
    asked = rng.integers(-2, 3, (queries, 2)).astype(np.float32)
    out = [np.flatnonzero(rng.random(items) < draw(st.sampled_from([0, 0.3, 1]))) for _ in asked]
    return vectors, asked, draw(st.integers(1, 70)), out, draw(st.sampled_from([1, 2, 5]))


@settings(max_examples=150)
@given(searches())
def test_it_is_what_sorting_all_products_gives(search):
    vectors, queries, k, out, threads = search
    found = search_exact(vectors, queries, k, Excluded.of(out), threads)
    positions, products = sort_all(queries @ vectors.T, min(k, len(vectors)), out)
    np.testing.assert_array_equal(found.positions, positions)
    np.testing.assert_array_equal(found.products, products)


def test_no_queries_find_nothing():
    found = search_exact(np.ones((5, 2), np.float32), np.zeros((0, 2), np.float32), 3)
    assert found.positions.shape == found.products.shape == (0, 3)
