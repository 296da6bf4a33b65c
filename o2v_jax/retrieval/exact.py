"""Exact search: the largest inner products of queries with all vectors, block by block."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from o2v_jax.array_types import Floats, Index

# of a block of vectors, and of its products: 8 MB. Of 2**17 to 2**22, with this one a search of
# 500,000 vectors takes the least processor time, or at most 1.1 times that of the product alone
BLOCK_NUMBERS = 2**21
FIRST_BLOCK_ROWS = 1024  # blocks double, so that few of the products in one are among the best
MIN_THREAD_NUMBERS = 2**22  # of the vectors that are worth a thread of their own
QUERIES_AT_A_TIME = 1024
MIN_THREAD_QUERIES = 8  # of fewer, BLAS shares out the products among threads of its own
_CROWDED = 4  # times as many products as can be kept: a partition is then cheaper than a sort


class Top(NamedTuple):
    """The best vectors of each query, best first; of equal ones the earlier first.

    Attributes:
        positions: int64 `[queries, k]`, rows of the vectors; -1 where there are no more.
        products: float32 `[queries, k]`; -inf where there are no more.
    """

    positions: Index
    products: Floats

    @classmethod
    def of_nothing(cls, queries: int, k: int) -> "Top":
        """Of queries that have found nothing yet."""
        shape = queries, k
        return cls(np.full(shape, -1, np.int64), np.full(shape, -np.inf, np.float32))

    def put(self, queries: Index | slice, found: "Top") -> None:
        """Replaces the first columns of these queries."""
        columns = slice(found.positions.shape[1])
        self.positions[queries, columns] = found.positions
        self.products[queries, columns] = found.products


class Excluded(NamedTuple):
    """Pairs of a query and a vector that is left out of its list.

    Attributes:
        queries: int64 `[pairs]`.
        positions: int64 `[pairs]`, ascending.
    """

    queries: Index
    positions: Index

    @classmethod
    def of(cls, positions: Sequence[Index]) -> "Excluded":
        """Of the positions that each query leaves out."""
        lengths = [len(each) for each in positions]
        joined = np.concatenate([np.zeros(0, np.int64), *positions])
        queries = np.repeat(np.arange(len(positions)), lengths)
        order = np.argsort(joined, kind="stable")
        return cls(queries[order], joined[order])

    def between_queries(self, start: int, stop: int) -> "Excluded":
        """The pairs of some queries, which are numbered from `start` on."""
        here = (self.queries >= start) & (self.queries < stop)
        return Excluded(self.queries[here] - start, self.positions[here])

    def of_queries(self, rows: Index, queries: int) -> "Excluded":
        """The pairs of some of so many queries, which are numbered in this order."""
        numbers = np.full(queries, -1, np.int64)
        numbers[rows] = np.arange(len(rows))
        found = numbers[self.queries]
        here = found >= 0
        return Excluded(found[here], self.positions[here])

    def count_each(self, queries: int) -> Index:
        """How many each of so many queries leaves out, int64 `[queries]`."""
        return np.bincount(self.queries, minlength=queries)

    @property
    def longest(self) -> int:
        """The most that one query leaves out."""
        return int(np.bincount(self.queries).max(initial=0))

    def clear(self, products: Floats, first: int) -> None:
        """Sets to -inf what is left out of products, `[queries, rows]`, of rows from `first`."""
        start, stop = np.searchsorted(self.positions, [first, first + products.shape[1]])
        at = self.queries[start:stop], self.positions[start:stop] - first
        products[at] = -np.inf


NONE_EXCLUDED = Excluded(np.zeros(0, np.int64), np.zeros(0, np.int64))


class TopKeeper:
    """Keeps the k largest of the products that are added; NaN and -inf are never among them.

    Args:
        queries: how many lists are kept.
        k: the length of each.
    """

    def __init__(self, queries: int, k: int) -> None:
        self._queries = queries
        self._k = k
        self._rows = np.zeros(0, np.int64)
        self._positions = np.zeros(0, np.int64)
        self._products = np.zeros(0, np.float32)
        self._threshold = np.full((queries, 1), -np.inf, np.float32)

    def add(self, products: Floats, first: int) -> None:
        """Adds products `[queries, rows]` of the vectors from `first` on, later ones each time."""
        above = products > self._threshold  # false for NaN
        if np.count_nonzero(above) > _CROWDED * self._queries * self._k:
            above &= products >= self._find_threshold(products)
        found = np.flatnonzero(above)
        if len(found):
            rows, columns = np.divmod(found, products.shape[1])
            self._merge(rows, products.reshape(-1)[found], first + columns)

    def get(self) -> Top:
        """What was kept."""
        top = Top.of_nothing(self._queries, self._k)
        at = self._rows, self._count_before(self._rows)
        top.positions[at] = self._positions
        top.products[at] = self._products
        return top

    def _find_threshold(self, products: Floats) -> Floats:
        """What the k-th largest product of each row is, float32 `[queries, 1]`."""
        if products.shape[1] <= self._k:
            return self._threshold
        comparable = np.where(np.isnan(products), np.float32(-np.inf), products)
        at = products.shape[1] - self._k
        kth: Floats = np.partition(comparable, at, axis=1)[:, at : at + 1]
        return kth

    def _merge(self, rows: Index, products: Floats, positions: Index) -> None:
        rows = np.concatenate([self._rows, rows])
        products = np.concatenate([self._products, products])
        positions = np.concatenate([self._positions, positions])
        order = np.lexsort((positions, -products, rows))
        before = self._count_before(rows[order])
        kept = order[before < self._k]
        self._rows, self._products, self._positions = rows[kept], products[kept], positions[kept]
        last = order[before == self._k - 1]
        self._threshold[rows[last], 0] = products[last]

    def _count_before(self, rows: Index) -> Index:
        """How many entries of the same query stand before each, where `rows` are ascending."""
        starts = np.searchsorted(rows, np.arange(self._queries))
        counted: Index = np.arange(len(rows)) - starts[rows]
        return counted


def search_exact(
    vectors: Floats,
    queries: Floats,
    k: int,
    excluded: Excluded = NONE_EXCLUDED,
    threads: int | None = None,
) -> Top:
    """The k vectors with the largest inner products for each query.

    All queries are answered in one pass over the vectors, up to 1,024 at a time. Safe to call from
    several threads.

    Args:
        vectors: float32 `[n, dimensions]`, perhaps memory-mapped.
        queries: float32 `[queries, dimensions]`.
        k: at least 1.
        excluded: what is left out.
        threads: at most so many; None: one a processor core, for as many queries as occupy them.
    """
    k = min(k, max(1, len(vectors)))
    parts = [
        _search_part(
            vectors, queries[start:stop], k, excluded.between_queries(start, stop), threads
        )
        for start, stop in _split(len(queries), -(-len(queries) // QUERIES_AT_A_TIME))
    ]
    empty = np.zeros((0, k), np.int64), np.zeros((0, k), np.float32)
    positions, products = zip(empty, *parts, strict=True)
    return Top(np.concatenate(positions), np.concatenate(products))


def sort_top(positions: Index, products: Floats, k: int) -> Top:
    """The k best of each row of candidates, `[queries, candidates]`, in the order of `Top`."""
    order = np.lexsort((positions, -products), axis=1)[:, :k]
    return Top(
        np.take_along_axis(positions, order, axis=1), np.take_along_axis(products, order, axis=1)
    )


def _search_part(
    vectors: Floats, queries: Floats, k: int, excluded: Excluded, threads: int | None
) -> Top:
    most = max(1, vectors.size // MIN_THREAD_NUMBERS)
    wanted = threads or (1 if len(queries) < MIN_THREAD_QUERIES else os.cpu_count() or 1)
    ranges = _split(len(vectors), min(wanted, most))
    if len(ranges) == 1:
        return _search_range(vectors, queries, k, excluded, ranges[0])
    with ThreadPoolExecutor(len(ranges), "o2v-search") as pool:
        tops = [pool.submit(_search_range, vectors, queries, k, excluded, rows) for rows in ranges]
        positions, products = zip(*(top.result() for top in tops), strict=True)
    return sort_top(np.concatenate(positions, axis=1), np.concatenate(products, axis=1), k)


def _search_range(
    vectors: Floats, queries: Floats, k: int, excluded: Excluded, rows: tuple[int, int]
) -> Top:
    keeper = TopKeeper(len(queries), k)
    for first, last in _iterate_blocks(rows, max(1, len(queries), vectors.shape[1])):
        with np.errstate(over="ignore", invalid="ignore"):  # of very large numbers
            products = queries @ vectors[first:last].T
        excluded.clear(products, first)
        keeper.add(products, first)
    return keeper.get()


def _iterate_blocks(rows: tuple[int, int], width: int) -> Iterator[tuple[int, int]]:
    """Ranges that make up a range of rows, of `width` numbers each."""
    first, last = rows
    size = FIRST_BLOCK_ROWS
    while first < last:
        yield first, min(first + size, last)
        first += size
        size = min(2 * size, max(FIRST_BLOCK_ROWS, BLOCK_NUMBERS // width))


def _split(count: int, parts: int) -> list[tuple[int, int]]:
    """Ranges of about equal size that make up `0..count`."""
    bounds = np.linspace(0, count, parts + 1).astype(int).tolist()
    return list(pairwise(bounds))
