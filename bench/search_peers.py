"""Libraries that search the same vectors: faiss, exactly and by HNSW, and usearch by itself.

Each is given what the index was given, and finds rows by inner products of vectors of length 1.
"""

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from o2v_jax.array_types import Floats, Index

CONNECTIVITY = 16  # neighbours of a vector in a graph, and vectors looked at when one is added
EXPANSION_ADD = 128
EXPANSIONS = (16, 32, 64, 128, 256, 512, 1024)

Search = Callable[[Floats, int], Index]


class Found(NamedTuple):
    """A library that is ready to search.

    Attributes:
        search: a function (queries, k) -> int64 `[queries, k]` rows.
        build_s: seconds that it took to take in the vectors.
        expansion: vectors that a search of its graph visits at the least; 0: all.
    """

    search: Search
    build_s: float
    expansion: int = 0


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    return find_spec(package) is not None


def start_faiss_flat(vectors: Floats) -> Found:
    """Exact search; it copies the vectors."""
    import faiss  # noqa: PLC0415 - of the extra `bench`

    index = faiss.IndexFlatIP(vectors.shape[1])
    began = time.perf_counter()
    index.add(vectors)
    return Found(lambda queries, k: index.search(queries, k)[1], time.perf_counter() - began)


def start_faiss_hnsw(vectors: Floats, is_enough: Callable[[Search], bool]) -> Found:
    """A graph; it visits as few vectors as are enough.

    Args:
        vectors: float32 `[n, dimensions]`.
        is_enough: whether what a search finds is enough.
    """
    import faiss  # noqa: PLC0415 - of the extra `bench`

    index = faiss.IndexHNSWFlat(vectors.shape[1], CONNECTIVITY, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EXPANSION_ADD
    began = time.perf_counter()
    index.add(vectors)
    build_s = time.perf_counter() - began

    def search(queries: Floats, k: int) -> Index:
        found: Index = index.search(queries, k)[1]
        return found

    for expansion in EXPANSIONS:
        index.hnsw.efSearch = expansion
        if is_enough(search):
            break
    return Found(search, build_s, index.hnsw.efSearch)


def start_usearch(vectors: Floats, expansion: int) -> Found:
    """A graph of half-precision vectors, as our index has it, by the library alone.

    Args:
        vectors: float32 `[n, dimensions]`.
        expansion: what our index has.
    """
    from usearch.index import Index as Graph  # noqa: PLC0415 - an extra

    graph = Graph(
        ndim=vectors.shape[1],
        metric="ip",
        dtype="f16",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=expansion,
    )
    began = time.perf_counter()
    graph.add(np.arange(len(vectors)), vectors)
    build_s = time.perf_counter() - began

    def search(queries: Floats, k: int) -> Index:
        return np.asarray(graph.search(queries, k).keys).astype(np.int64).reshape(len(queries), k)

    return Found(search, build_s, expansion)
