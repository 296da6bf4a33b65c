"""Approximate search: an HNSW graph by usearch (Malkov and Yashunin 2018), beside the vectors.

The graph answers which vectors may be the best; their inner products are then computed from the
vectors themselves, so that scores are exact whatever the graph holds.
"""

import errno
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from o2v_jax.array_types import Floats, Index
from o2v_jax.errors import InputError
from o2v_jax.extras import require_extra
from o2v_jax.retrieval.exact import NONE_EXCLUDED, Excluded, Top, sort_top

EXPANSIONS = (64, 128, 256, 512, 1024)  # vectors that a search visits at the least
MAX_WANTED = 2048  # beyond it a search of the graph visits too much of it to be worth while
_CONNECTIVITY = 16
_EXPANSION_ADD = 128
_AT_A_TIME = 2**16
# half the memory of float32; lengths are at most 1, and products are computed again
_DTYPE = "f16"


class Graph:
    """A graph of vectors, all of one length: so that neighbours are those of the largest products.

    Vectors of several lengths get one more number that makes them equally long, which queries have
    as 0 (Bachrach et al. 2014, "Speeding up the Xbox recommender system using a Euclidean
    transformation for inner-product spaces").

    Args:
        index: of usearch.
        vectors: float32 `[n, dimensions]`.
        expansion: vectors that a search visits at the least.
    """

    def __init__(self, index: Any, vectors: Floats, expansion: int) -> None:
        self._index = index
        self._vectors = vectors
        self._lock = Lock()  # threads that search at once would share the library's own buffers
        self.expansion = expansion

    @property
    def expansion(self) -> int:
        """Vectors that a search visits at the least."""
        return int(self._index.expansion_search)

    @expansion.setter
    def expansion(self, expansion: int) -> None:
        self._index.expansion_search = expansion

    @classmethod
    def build(cls, vectors: Floats) -> "Graph":
        """Makes a graph in memory.

        Raises:
            MissingExtraError: usearch is not installed.
        """
        longest = np.sqrt(
            max((_square(part).max(initial=0) for part in _slice(vectors)), default=0)
        )
        index = _make_index(vectors.shape[1] + 1)
        first = 0
        for part in _slice(vectors):
            index.add(np.arange(first, first + len(part)), _lengthen(part, max(longest, 1e-30)))
            first += len(part)
        return cls(index, vectors, EXPANSIONS[0])

    @classmethod
    def view(cls, path: Path, vectors: Floats, expansion: int) -> "Graph":
        """Opens a graph that stays on the disk.

        Raises:
            MissingExtraError: usearch is not installed.
            InputError: the file is not such a graph.
        """
        index = _make_index(vectors.shape[1] + 1)
        try:
            index.view(path)
        except Exception as error:  # usearch raises RuntimeError, among others
            raise InputError(f"is not a graph of usearch: {error}") from error
        if index.ndim != vectors.shape[1] + 1 or len(index) != len(vectors):
            found = f"{len(index):,} vectors of {index.ndim}"
            raise InputError(
                f"holds {found} numbers, not {len(vectors):,} of {vectors.shape[1] + 1}"
            )
        return cls(index, vectors, expansion)

    def save(self, path: Path) -> None:
        """Writes it to a file.

        Raises:
            OSError: it cannot be written, as when the disk is full.
        """
        try:
            self._index.save(path)
        except RuntimeError as error:  # usearch has no other
            raise OSError(errno.EIO, f"{error}") from error

    def search(self, queries: Floats, k: int | Index, excluded: Excluded = NONE_EXCLUDED) -> Top:
        """As `search_exact`, but some of the best may be missing.

        Args:
            queries: float32 `[queries, dimensions]`, at least one.
            k: at least 1; for all, or int64 `[queries]`. What is returned has as many columns as
                the largest.
            excluded: what is left out.
        """
        wanted = np.minimum(k + excluded.count_each(len(queries)), len(self._vectors))
        positions = self._find(queries, int(wanted.max()))
        # what others want more of the graph may be nearer than what it gives this one
        positions[np.arange(positions.shape[1]) >= wanted[:, None]] = -1
        near = self._vectors[np.maximum(positions, 0)]
        products = np.einsum("qkd,qd->qk", near, queries)
        products[(positions < 0) | np.isnan(products)] = -np.inf
        _clear(products, positions, excluded)
        positions[products == -np.inf] = -1
        return sort_top(positions, products, int(np.max(k)))

    def _find(self, queries: Floats, wanted: int) -> Any:
        """Positions, int64 `[queries, wanted]`, -1 where there are no more."""
        lengths = np.sqrt(_square(queries))[:, None]
        scaled = queries / np.where(lengths > 0, lengths, 1)
        extended = np.concatenate([scaled, np.zeros_like(lengths)], axis=1).astype(np.float32)
        with self._lock:
            found = self._index.search(extended, wanted)
        positions = np.asarray(found.keys).astype(np.int64).reshape(len(queries), -1)
        if not hasattr(found, "counts"):  # of one query it gives what there is
            return positions
        counts = np.asarray(found.counts).reshape(-1, 1)
        return np.where(np.arange(positions.shape[1]) < counts, positions, -1)


def _make_index(dimensions: int) -> Any:
    require_extra("search", "an approximate index", "usearch")
    from usearch.index import Index  # noqa: PLC0415 - an extra

    return Index(
        ndim=dimensions,
        metric="ip",
        dtype=_DTYPE,
        connectivity=_CONNECTIVITY,
        expansion_add=_EXPANSION_ADD,
        expansion_search=EXPANSIONS[0],
    )


def _slice(vectors: Floats) -> "list[Floats]":
    return [vectors[at : at + _AT_A_TIME] for at in range(0, len(vectors), _AT_A_TIME)]


def _square(vectors: Floats) -> Any:
    """Squared lengths, float64 `[n]`."""
    return np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)


def _lengthen(vectors: Floats, longest: float) -> Floats:
    """Vectors divided by `longest`, with one more number, so that each has length 1."""
    scaled = vectors / np.float32(longest)
    rest = np.sqrt(np.maximum(0, 1 - _square(scaled)))[:, None]
    return np.concatenate([scaled, rest], axis=1).astype(np.float32)


def _clear(products: Floats, positions: Any, excluded: Excluded) -> None:
    """Sets to -inf what is left out of products of vectors at these positions."""
    if not len(excluded.queries):
        return
    for query in np.unique(excluded.queries).tolist():
        out = excluded.positions[excluded.queries == query]
        products[query, np.isin(positions[query], out)] = -np.inf
