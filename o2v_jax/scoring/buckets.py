"""Which rows go into which padded shape, and how to get them back. Integers only, no JAX.

A ladder is an increasing tuple of sizes. Rows of tokens are padded up to a rung of the length
ladder and a batch up to a rung of the batch ladder, so that few compiled shapes serve all traffic.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Counts: TypeAlias = npt.NDArray[np.int64]

# The fitted ladder weighs about this many lengths at most; its work grows with their square.
CANDIDATES = 512


def geometric_ladder(longest: int, rungs: int) -> tuple[int, ...]:
    """At most `rungs` lengths up to `longest`, each about the same factor above the one before.

    >>> geometric_ladder(82, 6)
    (3, 5, 10, 19, 40, 82)
    """
    powers = np.arange(1, rungs + 1) / rungs
    return tuple(sorted({max(1, int(np.ceil(longest**p - 1e-9))) for p in powers}))


def fitted_ladder(histogram: npt.NDArray[np.integer], longest: int, rungs: int) -> tuple[int, ...]:
    """The at most `rungs` lengths that pad sequences of this histogram the least.

    `histogram[n]` counts the sequences of n tokens; those above `longest` are cut to it. The last
    rung is always `longest`, the others are lengths that occur. Dynamic programme over (rungs
    used, longest length covered); exact up to `CANDIDATES` different lengths.

    >>> fitted_ladder(np.array([0, 0, 5, 0, 0, 0, 0, 5, 0, 0]), 9, 3)
    (2, 7, 9)
    """
    counts = np.zeros(
        longest + 1, np.int64
    )  # empty sequences pad to the first rung, like one token
    np.add.at(counts, np.clip(np.arange(len(histogram)), 1, longest), histogram)
    candidates = _candidates(counts, rungs)
    up_to = np.cumsum(counts)[candidates]
    choices = _best_rungs(candidates, up_to, min(rungs, len(candidates)))
    return tuple(int(length) for length in candidates[_walk_back(choices, len(candidates) - 1)])


def _candidates(counts: Counts, rungs: int) -> Counts:
    """The lengths worth a rung: those that occur, or their quantiles and a geometric ladder."""
    longest = len(counts) - 1
    occurring = np.flatnonzero(counts)
    if len(occurring) > CANDIDATES:
        share = np.cumsum(counts[occurring]) / counts[occurring].sum()
        picked = np.searchsorted(share, np.linspace(0, 1, CANDIDATES, endpoint=False))
        occurring = np.union1d(occurring[picked], geometric_ladder(longest, rungs))
    return np.union1d(occurring, [longest])


def _best_rungs(candidates: Counts, up_to: Counts, rungs: int) -> list[Counts]:
    """For every number of rungs above one and every last rung: the rung before it, or -1."""
    # cost[a, b]: padded tokens if rung b takes every sequence longer than rung a
    cost = (up_to[None, :] - up_to[:, None]) * candidates[None, :].astype(np.float64)
    cost[np.tril_indices(len(candidates))] = np.inf
    best, choices = (up_to * candidates).astype(np.float64), []
    for _ in range(rungs - 1):
        total = best[:, None] + cost
        choices.append(np.where(total.min(0) < best, total.argmin(0), -1))
        best = np.minimum(best, total.min(0))
    return choices


def _walk_back(choices: Sequence[Counts], last: int) -> list[int]:
    """Indices of the rungs that lead to the last one at the least cost."""
    ladder = [last]
    for choice in reversed(choices):
        previous = int(choice[ladder[0]])
        if previous >= 0:
            ladder.insert(0, previous)
    return ladder


def batch_ladder(
    length: int, token_budget: int, ratio: int = 4, *, base: int = 2
) -> tuple[int, ...]:
    """Batch sizes for one length: up to the largest power of `base` that the token budget holds.

    >>> batch_ladder(length=20, token_budget=8192), batch_ladder(20, 16384), batch_ladder(20, 40960)
    ((1, 4, 16, 64, 256), (1, 2, 8, 32, 128, 512), (1, 2, 8, 32, 128, 512, 2048))
    >>> batch_ladder(length=20, token_budget=16384, base=4)
    (1, 4, 16, 64, 256)
    """
    top, room = 1, max(1, token_budget // length)
    while top * base <= room:
        top *= base
    sizes = {1}
    while top > 1:
        sizes.add(top)
        top //= ratio
    return tuple(sorted(sizes))


CALL = 64.0  # padded tokens
FEW_ROWS = 64  # so many are planned in less time without NumPy


@dataclass(frozen=True)
class Shapes:
    """The padded shapes of one encoder: for every rung of the length ladder its batch ladder.

    Attributes:
        lengths: the length ladder.
        batches: for each length its batch ladder.
        call: what a program call costs besides its padded tokens, in the time of one of these.
        step: what each step of a recurrence costs besides the rows in it, likewise.
    """

    lengths: tuple[int, ...]
    batches: tuple[tuple[int, ...], ...]
    call: float = CALL
    step: float = 0.0

    def cost(self, batch: int, length: int) -> float:
        """The cost of a call of this shape, in padded tokens."""
        return self.call + (self.step + batch) * length

    def pairs(self) -> list[tuple[int, int]]:
        """All (batch, length) pairs, the small ones first."""
        rungs = zip(self.lengths, self.batches, strict=True)
        pairs = [(batch, length) for length, ladder in rungs for batch in ladder]
        return sorted(pairs, key=lambda pair: pair[0] * pair[1])


@dataclass(frozen=True, eq=False)
class Step:
    """One program call: these rows, padded to `[batch, length]`."""

    rows: npt.NDArray[np.int64]
    batch: int
    length: int


def shapes(
    lengths: tuple[int, ...],
    token_budget: int,
    call: float = CALL,
    step: float = 0.0,
    base: int = 2,
    most_rows: int | None = None,
) -> Shapes:
    """The padded shapes of a length ladder; the longer the rows, the fewer of them a batch."""
    budgets = [
        token_budget if most_rows is None else min(token_budget, n * most_rows) for n in lengths
    ]
    sizes = zip(lengths, budgets, strict=True)
    batches = tuple(batch_ladder(length, budget, base=base) for length, budget in sizes)
    return Shapes(lengths, batches, call, step)


def plan(lengths: npt.NDArray[np.integer], table: Shapes) -> list[Step]:
    """Puts rows of the given lengths into padded batches.

    Rows are taken from the longest down. Where it costs less, the rows of a rung join those of a
    longer one; free places in a batch are filled with the next shorter rows. Every row stands in
    exactly one step, and no row may be longer than the last rung.
    Cost: one sort and one small loop turn a batch.
    """
    if (together := _together(lengths, table)) is not None:
        return [together]
    order = np.argsort(-lengths, kind="stable")
    rung = np.searchsorted(table.lengths, lengths[order])
    group = _joined(np.bincount(rung, minlength=len(table.lengths)), table)[rung]
    ends = np.searchsorted(-group, -np.arange(len(table.lengths)), side="right")
    steps, at = [], 0
    while at < len(order):
        k = int(rung[at])
        batch = _first_batch(table, k, int(ends[group[at]]) - at)
        steps.append(Step(order[at : at + batch], batch, table.lengths[k]))
        at += batch
    return steps


def _together(lengths: npt.NDArray[np.integer], table: Shapes) -> Step | None:
    """All rows as one step, where two could not cost less; found without planning any further."""
    if not 0 < len(lengths) <= FEW_ROWS:
        return None
    counts: list[int] = lengths.tolist()
    rung = bisect_left(table.lengths, max(counts))
    batch = next((b for b in table.batches[rung] if b >= len(counts)), None)
    if batch is None:
        return None
    least = 2 * table.call + sum(counts)
    if table.cost(batch, table.lengths[rung]) > least:
        return None
    return Step(np.arange(len(counts)), batch, table.lengths[rung])


def prepare(table: Shapes) -> None:
    """Works out beforehand what `plan` remembers of these shapes, so that no request waits."""
    for rung in range(len(table.lengths)):
        _cover(table, rung)


def _joined(rows: npt.NDArray[np.integer], table: Shapes) -> npt.NDArray[np.int64]:
    """For every rung the one whose length its rows are padded to: its own, or a longer one.

    Neighbouring rungs are joined where that costs the least in all: a dynamic programme over the
    rungs in use, from the shortest up.
    """
    used, best = np.flatnonzero(rows).tolist(), [(0.0, 0)]
    if len(used) == 1:
        return np.arange(len(rows))
    for end, rung in enumerate(used):
        cost, options, together = _cost_of(table, rung), [], 0
        for begin in range(end, -1, -1):
            together += int(rows[used[begin]])
            options.append((best[begin][0] + cost(together), begin))
        best.append(min(options))
    return _longest(used, [begin for _, begin in best], len(rows))


def _longest(used: list[int], begins: list[int], rungs: int) -> npt.NDArray[np.int64]:
    """For every rung the last one of its group; `begins[n]` is where the group before n begins."""
    to, end = np.arange(rungs), len(used)
    while end:
        begin = begins[end]
        to[used[begin:end]] = used[end - 1]
        end = begin
    return to


def _cost_of(table: Shapes, rung: int) -> Callable[[int], float]:
    """The cost of the cheapest cover of a number of rows."""
    top, cover = table.batches[rung][-1], _cover(table, rung)
    whole = table.cost(top, table.lengths[rung])
    return lambda rows: rows // top * whole + cover[rows % top][0]


def _first_batch(table: Shapes, rung: int, rows: int) -> int:
    """Size of the largest batch in the cheapest cover of `rows` rows."""
    top = table.batches[rung][-1]
    return top if rows >= top else _cover(table, rung)[rows][1]


@lru_cache(maxsize=1024)
def _cover(table: Shapes, rung: int) -> list[tuple[float, int]]:
    """For every number of rows below the largest batch: its cheapest cover's cost, first batch."""
    prices = [(b, table.cost(b, table.lengths[rung])) for b in table.batches[rung]]
    cover = [(0.0, 0)]
    for rows in range(1, prices[-1][0]):
        # of equally cheap covers the one that begins with the largest batch
        cost, batch = min((price + cover[max(0, rows - b)][0], -b) for b, price in prices)
        cover.append((cost, -batch))
    return cover
