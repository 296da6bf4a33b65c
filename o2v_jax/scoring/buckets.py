"""Length buckets: which rows go into which padded shape, and how to get them back.

Integers only, no JAX. Rows of tokens are padded to the next of a few lengths, the bucket
boundaries, and a batch to the next of a few sizes, so that few compiled programs serve all traffic.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Index

# Lengths that are tried as boundaries, at most: the work grows with the square of their number.
MAX_CANDIDATES = 512
CALL_COST = 64.0  # padded tokens, where no device profile gives another figure
SMALL_PLAN_ROWS = 64  # so few rows are planned in less time without NumPy


def make_geometric_boundaries(longest: int, buckets: int) -> tuple[int, ...]:
    """At most `buckets` lengths up to `longest`, each about the same factor above the one before.

    >>> make_geometric_boundaries(82, 6)
    (3, 5, 10, 19, 40, 82)
    """
    powers = np.arange(1, buckets + 1) / buckets
    return tuple(sorted({max(1, int(np.ceil(longest**p - 1e-9))) for p in powers}))


def fit_boundaries(
    histogram: npt.NDArray[np.integer], longest: int, buckets: int
) -> tuple[int, ...]:
    """The at most `buckets` lengths that pad sequences of this histogram the least.

    `histogram[n]` counts the sequences of n tokens; those above `longest` are cut to it. The last
    length is always `longest`, the others occur. A dynamic programme over (buckets used, longest
    length covered); exact up to `MAX_CANDIDATES` different lengths.

    >>> fit_boundaries(np.array([0, 0, 5, 0, 0, 0, 0, 5, 0, 0]), 9, 3)
    (2, 7, 9)
    """
    counts = np.zeros(longest + 1, np.int64)
    # empty sequences pad to the first bucket, like those of one token
    np.add.at(counts, np.clip(np.arange(len(histogram)), 1, longest), histogram)
    candidates = _pick_candidates(counts, buckets)
    up_to = np.cumsum(counts)[candidates]
    choices = _choose_buckets(candidates, up_to, min(buckets, len(candidates)))
    return tuple(int(length) for length in candidates[_walk_back(choices, len(candidates) - 1)])


def _pick_candidates(counts: Index, buckets: int) -> Index:
    """The lengths worth a bucket: those that occur, or their quantiles and geometric ones."""
    longest = len(counts) - 1
    occurring = np.flatnonzero(counts)
    if len(occurring) > MAX_CANDIDATES:
        share = np.cumsum(counts[occurring]) / counts[occurring].sum()
        picked = np.searchsorted(share, np.linspace(0, 1, MAX_CANDIDATES, endpoint=False))
        occurring = np.union1d(occurring[picked], make_geometric_boundaries(longest, buckets))
    return np.union1d(occurring, [longest])


def _choose_buckets(candidates: Index, up_to: Index, buckets: int) -> list[Index]:
    """For every number of buckets above one and every last bucket: the bucket before it, or -1."""
    # cost[a, b]: padded tokens if bucket b takes every sequence longer than bucket a
    cost = (up_to[None, :] - up_to[:, None]) * candidates[None, :].astype(np.float64)
    cost[np.tril_indices(len(candidates))] = np.inf
    best = (up_to * candidates).astype(np.float64)
    choices: list[Index] = []
    for _ in range(buckets - 1):
        total = best[:, None] + cost
        choices.append(np.where(total.min(0) < best, total.argmin(0), -1))
        best = np.minimum(best, total.min(0))
    return choices


def _walk_back(choices: Sequence[Index], last: int) -> list[int]:
    """Indices of the buckets that lead to the last one at the least cost."""
    boundaries = [last]
    for choice in reversed(choices):
        previous = int(choice[boundaries[0]])
        if previous >= 0:
            boundaries.insert(0, previous)
    return boundaries


def make_batch_sizes(
    length: int, token_budget: int, ratio: int = 4, *, base: int = 2
) -> tuple[int, ...]:
    """Batch sizes for one length: up to the largest power of `base` that the token budget holds.

    >>> make_batch_sizes(length=20, token_budget=8192)
    (1, 4, 16, 64, 256)
    >>> make_batch_sizes(length=20, token_budget=16384), make_batch_sizes(20, 40960)
    ((1, 2, 8, 32, 128, 512), (1, 2, 8, 32, 128, 512, 2048))
    >>> make_batch_sizes(length=20, token_budget=16384, base=4)
    (1, 4, 16, 64, 256)
    """
    top = 1
    while top * base * length <= token_budget:
        top *= base
    sizes = {1}
    while top > 1:
        sizes.add(top)
        top //= ratio
    return tuple(sorted(sizes))


@dataclass(frozen=True)
class BucketTable:
    """The padded shapes of one encoder: lengths, each with its batch sizes.

    Attributes:
        lengths: the bucket boundaries, increasing.
        batch_sizes: of each length, increasing.
        call_cost: of a program call besides its padded tokens, in the time of one of these.
        step_cost: of each step of a recurrence besides the rows in it, likewise.
    """

    lengths: tuple[int, ...]
    batch_sizes: tuple[tuple[int, ...], ...]
    call_cost: float = CALL_COST
    step_cost: float = 0.0

    def cost(self, batch: int, length: int) -> float:
        """The cost of a call of this shape, in padded tokens."""
        return self.call_cost + (self.step_cost + batch) * length

    def shapes(self) -> list[tuple[int, int]]:
        """All shapes (batch, length), the small ones first."""
        buckets = zip(self.lengths, self.batch_sizes, strict=True)
        found = [(batch, length) for length, sizes in buckets for batch in sizes]
        return sorted(found, key=lambda shape: shape[0] * shape[1])


@dataclass(frozen=True, eq=False)
class PaddedBatch:
    """One program call: these rows, padded to `[batch, length]`."""

    rows: npt.NDArray[np.int64]
    batch: int
    length: int


def make_bucket_table(
    lengths: tuple[int, ...],
    token_budget: int,
    call_cost: float = CALL_COST,
    step_cost: float = 0.0,
    base: int = 2,
    max_rows: int | None = None,
) -> BucketTable:
    """The padded shapes of these lengths; the longer the rows, the fewer of them a batch.

    Args:
        lengths: the bucket boundaries, increasing.
        token_budget: padded tokens of the largest batch.
        call_cost: as of `BucketTable`.
        step_cost: as of `BucketTable`.
        base: batch sizes are powers of it.
        max_rows: of the largest batch; None: no bound but the token budget.
    """
    budgets = [
        token_budget if max_rows is None else min(token_budget, n * max_rows) for n in lengths
    ]
    sizes = zip(lengths, budgets, strict=True)
    batch_sizes = tuple(make_batch_sizes(length, budget, base=base) for length, budget in sizes)
    return BucketTable(lengths, batch_sizes, call_cost, step_cost)


def plan(lengths: npt.NDArray[np.integer], table: BucketTable) -> list[PaddedBatch]:
    """Puts rows of the given lengths into padded batches.

    Rows are taken from the longest down. Where it costs less, the rows of a bucket join those of a
    longer one; free rows of a batch are filled with the next shorter ones. Every row is in exactly
    one batch, and no row may be longer than the last bucket. `out[batch.rows] = results` undoes it.
    Cost: one sort and one small loop turn a batch.
    """
    if (single := _plan_single(lengths, table)) is not None:
        return [single]
    order = np.argsort(-lengths, kind="stable")
    bucket = np.searchsorted(table.lengths, lengths[order])
    group = _join_buckets(np.bincount(bucket, minlength=len(table.lengths)), table)[bucket]
    ends = np.searchsorted(-group, -np.arange(len(table.lengths)), side="right")
    batches: list[PaddedBatch] = []
    at = 0
    while at < len(order):
        k = int(bucket[at])
        batch = _choose_first_batch(table, k, int(ends[group[at]]) - at)
        batches.append(PaddedBatch(order[at : at + batch], batch, table.lengths[k]))
        at += batch
    return batches


def _plan_single(lengths: npt.NDArray[np.integer], table: BucketTable) -> PaddedBatch | None:
    """All rows as one batch, where two could not cost less; None where planning must go on."""
    if not 0 < len(lengths) <= SMALL_PLAN_ROWS:
        return None
    counts: list[int] = lengths.tolist()
    bucket = bisect_left(table.lengths, max(counts))
    batch = next((b for b in table.batch_sizes[bucket] if b >= len(counts)), None)
    if batch is None:
        return None
    least = 2 * table.call_cost + sum(counts)
    if table.cost(batch, table.lengths[bucket]) > least:
        return None
    return PaddedBatch(np.arange(len(counts)), batch, table.lengths[bucket])


def precompute_costs(table: BucketTable) -> None:
    """Fills the cache that `plan` uses for this table, so that no request waits for it."""
    for bucket in range(len(table.lengths)):
        _cover_costs(table, bucket)


def _join_buckets(rows: npt.NDArray[np.integer], table: BucketTable) -> npt.NDArray[np.int64]:
    """For every bucket the one whose length its rows are padded to: its own, or a longer one.

    Neighbouring buckets are joined where that costs the least in all: a dynamic programme over the
    buckets in use, from the shortest up.
    """
    used: list[int] = np.flatnonzero(rows).tolist()
    best = [(0.0, 0)]
    if len(used) == 1:
        return np.arange(len(rows))
    for end, bucket in enumerate(used):
        cost, options, count = _make_cost(table, bucket), list[tuple[float, int]](), 0
        for begin in range(end, -1, -1):
            count += int(rows[used[begin]])
            options.append((best[begin][0] + cost(count), begin))
        best.append(min(options))
    return _map_to_last(used, [begin for _, begin in best], len(rows))


def _map_to_last(used: list[int], begins: list[int], buckets: int) -> npt.NDArray[np.int64]:
    """For every bucket the last of its group; `begins[n]` is where the group before n begins."""
    to, end = np.arange(buckets), len(used)
    while end:
        begin = begins[end]
        to[used[begin:end]] = used[end - 1]
        end = begin
    return to


def _make_cost(table: BucketTable, bucket: int) -> Callable[[int], float]:
    """A function: the cost of the cheapest cover of a number of rows."""
    top, cover = table.batch_sizes[bucket][-1], _cover_costs(table, bucket)
    whole = table.cost(top, table.lengths[bucket])
    return lambda rows: rows // top * whole + cover[rows % top][0]


def _choose_first_batch(table: BucketTable, bucket: int, rows: int) -> int:
    """Size of the largest batch in the cheapest cover of `rows` rows."""
    top = table.batch_sizes[bucket][-1]
    return top if rows >= top else _cover_costs(table, bucket)[rows][1]


@lru_cache(maxsize=1024)
def _cover_costs(table: BucketTable, bucket: int) -> list[tuple[float, int]]:
    """For every number of rows below the largest batch: its cheapest cover's cost, first batch."""
    prices = [(b, table.cost(b, table.lengths[bucket])) for b in table.batch_sizes[bucket]]
    cover = [(0.0, 0)]
    for rows in range(1, prices[-1][0]):
        # of equally cheap covers the one that begins with the largest batch
        cost, batch = min((price + cover[max(0, rows - b)][0], -b) for b, price in prices)
        cover.append((cost, -batch))
    return cover
