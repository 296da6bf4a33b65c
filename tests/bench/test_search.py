"""bench.search and bench.kept, in their tiniest form."""

import numpy as np
import pytest

from bench import kept, search

pytestmark = pytest.mark.slow


def test_an_index_is_measured_beside_libraries_that_are_there(measured):
    size = "--items", 1000, "--dimensions", 16, "--rounds", 1, "--seconds", 1
    results = measured(search.main, *size)
    assert [row["queries"] for row in results["exact"]] == [1, 100]
    assert all(row["ms"] > 0 and row["memory_gb_per_s"] > 0 for row in results["exact"])
    assert results["rank"][0]["rank_ms"] > 0
    ours, usearch, *_ = results["approximate"]
    assert (ours["library"], usearch["library"]) == ("o2v_jax", "usearch")
    assert min(ours["recall_at_10"], usearch["recall_at_10"]) > 0.9
    assert ours["our_rate_over_its"] == 1
    assert [row["request"] for row in results["requests"]] == ["search", "embedding"]
    assert all(row["requests_per_s"] > 0 and row["not_200"] == 0 for row in results["requests"])
    (twice,) = results["overload"]
    assert twice["of_capacity"] == 2  # how much is accepted depends on what else runs here
    assert twice["offered_per_s"] > results["requests"][0]["requests_per_s"]


def test_exact_and_approximate_searches_are_compared_with_faiss(measured, needs):
    needs("faiss")
    results = measured(search.main, "--items", 1000, "--dimensions", 16, "--rounds", 1)
    assert results["exact"][1]["ratio_to_faiss"] > 0
    assert results["approximate"][2]["recall_at_10"] >= search.GOOD_RECALL


def test_vectors_have_length_1_and_neighbours():
    vectors, queries = (search.make_vectors(2000, 64, seed) for seed in (1, 2))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    products = queries[:100] @ vectors.T
    assert np.median(products.max(axis=1)) > 0.7
    assert np.median(np.abs(products)) < 0.3


def test_searches_that_differ_are_not_timed():
    index = search.o2v_jax.Index.build(search.make_model(16), search.make_vectors(50, 16, 1))
    wrong = np.zeros((2, search.K), np.int64)
    with pytest.raises(search.click.ClickException, match="share only"):
        search._compare(index, lambda *_: wrong, search.make_vectors(2, 16, 2))


def test_kept_encodings_are_measured_without_peers(measured):
    arguments = "--encoder pooled_embedding --items 20 --rounds 1 --peer torch_eager"
    (row,) = measured(kept.main, *arguments.split())["rows"]
    assert row["records"] == 20
    assert row["records_per_s"] > 0
