"""Approximate search, by a graph that is measured when it is built and stays on the disk."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import o2v_jax
from o2v_jax import CheckpointError, Index
from o2v_jax.checkpoint import hash_model
from o2v_jax.errors import MissingExtraError
from o2v_jax.retrieval.approximate import Graph
from o2v_jax.retrieval.exact import Excluded, search_exact
from o2v_jax.retrieval.files import read_index
from o2v_jax.retrieval.searcher import Searcher

pytest.importorskip("usearch", reason="usearch, of the extra `search`, is not installed")


@pytest.fixture(scope="module")
def folder(head_of, encodings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("approximate") / "index"
    Index.build(
        head_of("inner product"),
        encodings(800),
        keys=[f"item {number}" for number in range(800)],
        queries=encodings(30, seed=1),
        output=folder,
        approximate=True,
    )
    return folder


@pytest.fixture(scope="module")
def index(folder, head_of):
    return Index.load(folder, head_of("inner product"))


@pytest.fixture(scope="module")
def exact(head_of, encodings):
    keys = [f"item {number}" for number in range(800)]
    return Index.build(head_of("inner product"), encodings(800), keys=keys)


def test_it_finds_nearly_all_and_says_how_much(index, exact, encodings):
    queries = encodings(30, seed=2)
    pairs = zip(index.search(queries), exact.search(queries), strict=True)
    found = np.mean([len({*one.keys} & {*other.keys}) / 10 for one, other in pairs])
    assert found > 0.95
    assert index.recall.at_10 > 0.95
    assert f"searched by a graph (expansion {index.info.expansion}): finds " in repr(index)
    assert "% of the first 10 of a full ranking (30 queries: given queries)" in repr(index)


def test_queries_take_turns_and_find_the_same(folder, index, head_of, encodings):
    model = head_of("inner product")
    stored = read_index(folder, hash_model(model))
    graph = Graph.view(stored.graph, stored.vectors, stored.info.expansion)
    queries, excluded = encodings(7, seed=4), Excluded.of([np.array([at]) for at in range(7)])
    given = model, o2v_jax.Scorer(model), stored.info, stored.vectors, graph
    whole, parts = (
        Searcher(*given, gathered=numbers).search(queries, 5, excluded) for numbers in (2**20, 100)
    )
    np.testing.assert_array_equal(whole.positions, parts.positions)
    np.testing.assert_array_equal(whole.products, parts.products)
    assert index.search(queries[:0]) == []


def test_scores_are_exact(index, exact, encodings):
    (hits,) = index.search(encodings(1, seed=3))
    (every,) = exact.search(encodings(1, seed=3), 800)
    right = dict(zip(every.keys, every.scores, strict=True))
    np.testing.assert_allclose(hits.scores, [right[key] for key in hits.keys], rtol=1e-6)


def test_what_is_left_out_makes_room(index, encodings):
    queries = encodings(2, seed=4)
    first, second = (hits.keys for hits in index.search(queries, 20))
    again = index.search(queries, 10, exclude=[first[:10], second[::2]])
    assert [hits.keys for hits in again] == [first[10:], second[1::2]]


def test_a_search_for_most_of_the_items_looks_at_all(index, exact, encodings, monkeypatch):
    monkeypatch.setattr("o2v_jax.retrieval.searcher.MAX_WANTED", 50)
    (hits,), (expected,) = (each.search(encodings(1), 51) for each in (index, exact))
    np.testing.assert_array_equal(hits.positions, expected.positions)


def test_threads_may_search_at_once(index, encodings):
    queries = encodings(4, seed=5)
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda _: [h.keys for h in index.search(queries)], range(40))]
    assert all(keys == found[0] for keys in found)


def test_lengths_do_not_matter_to_a_graph(encodings):
    """Without equal lengths a graph would find the nearest direction, not the largest product."""
    vectors = encodings(500) * np.random.default_rng(0).uniform(0.1, 9, (500, 1)).astype(np.float32)
    vectors[7] = 0
    queries = encodings(20, seed=1)
    found = Graph.build(vectors).search(queries, 5, Excluded.of([np.array([3])] * 20))
    right = search_exact(vectors, queries, 5, Excluded.of([np.array([3])] * 20))
    assert np.mean(found.positions == right.positions) > 0.9


def test_few_items_and_many_wanted(encodings):
    graph = Graph.build(encodings(3))
    top = graph.search(encodings(2, seed=1), 3, Excluded.of([np.array([0]), np.arange(3)]))
    assert sorted(top.positions[0].tolist()) == [-1, 1, 2]
    assert top.positions[1].tolist() == [-1, -1, -1]


def test_a_heads_candidates_come_from_the_graph(head_of, encodings):
    model = head_of("a network")
    index = Index.build(model, encodings(400), approximate=True, queries=encodings(10, seed=1))
    assert index.recall.at_10 > 0.8


def test_a_graph_that_is_none_is_refused(folder, head_of, encodings):
    data = (folder / "graph.usearch").read_bytes()
    with pytest.raises(CheckpointError, match=r"graph.usearch has .* were written \(it is cut off"):
        _load_with(folder, head_of, data[:1000])
    with pytest.raises(CheckpointError, match=r"graph\.usearch is not the file that was written"):
        _load_with(folder, head_of, data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    (folder / "graph.usearch").write_bytes(data)
    with pytest.raises(o2v_jax.InputError, match="holds 800 vectors of 9 numbers, not 3 of 9"):
        Graph.view(folder / "graph.usearch", encodings(3), 64)
    (folder / "short").write_bytes(data[:1000])
    with pytest.raises(o2v_jax.InputError, match="is not a graph of usearch: "):
        Graph.view(folder / "short", encodings(800), 64)
    (folder / "short").unlink()


def test_a_missing_extra_is_named(model, encodings, monkeypatch):
    monkeypatch.setattr("o2v_jax.extras.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"an approximate index needs usearch: install"):
        Index.build(model, encodings(3), approximate=True)


def _load_with(folder, head_of, data):
    (folder / "graph.usearch").write_bytes(data)
    return Index.load(folder, head_of("inner product"))


@pytest.mark.parametrize("expansion", [2, 12])
def test_a_query_finds_the_same_beside_others(folder, head_of, encodings, expansion):
    """Those that want more, or leave out more, would have the graph searched further for all."""
    model = head_of("inner product")
    stored = read_index(folder, hash_model(model))
    graph = Graph.view(stored.graph, stored.vectors, expansion)
    searcher = Searcher(model, o2v_jax.Scorer(model), stored.info, stored.vectors, graph)
    queries, ks = encodings(16, seed=6), np.array([5, 1, 30, 2, 11, 5, 3, 1] * 2)
    out = [np.arange(size) for size in [0, 3, 0, 0, 700, 790, 9, 1] * 2]
    together = searcher.search(queries, ks, Excluded.of(out))
    for at, k in enumerate(ks.tolist()):
        alone = searcher.search(queries[at : at + 1], k, Excluded.of(out[at : at + 1]))
        np.testing.assert_array_equal(together.positions[at, :k], alone.positions[0])
        np.testing.assert_allclose(together.products[at, :k], alone.products[0], rtol=1e-6)


def test_of_vectors_that_a_graph_cannot_tell_apart_each_query_gets_its_own(encodings):
    """A graph gives the same ones first whatever is wanted; products order those that it gives."""
    graph = Graph.build(encodings(1) + 1e-5 * encodings(60, seed=1))
    queries = encodings(2, seed=2)
    together = graph.search(queries, np.array([1, 50]))
    alone = graph.search(queries[:1], 1)
    assert together.positions[0, 0] == alone.positions[0, 0]
    assert together.positions.shape == (2, 50)


def test_a_graph_that_cannot_be_written_is_an_error_of_the_file(encodings):
    with pytest.raises(OSError, match=r"Failed|No space|No such"):
        Graph.build(encodings(50)).save(Path("/dev/full"))
