"""Which rows go into which padded shape, and how to get them back. Integers only, no JAX.

A ladder is an increasing tuple of sizes. Rows of tokens are padded up to a rung of the length
ladder and a batch up to a rung of the batch ladder, so that few compiled shapes serve all traffic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Counts: TypeAlias = npt.NDArray[np.int64]

# What one more program call costs, in padded tokens: about 0.1 ms on one CPU core.
CALL_COST = 64

# The fitted ladder weighs about this many lengths at most; its work grows with their square.
CANDIDATES = 512


@dataclass(frozen=True)
class Shapes:
    """The padded shapes of one encoder: for every rung of the length ladder its batch ladder."""

    lengths: tuple[int, ...]
    batches: tuple[tuple[int, ...], ...]

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


def batch_ladder(length: int, token_budget: int, ratio: int = 8) -> tuple[int, ...]:
    """Batch sizes for one length: powers of two from 1 up to what the token budget holds.

    >>> batch_ladder(length=20, token_budget=8192)
    (1, 4, 32, 256)
    """
    top = 1 << max(0, (max(1, token_budget // length)).bit_length() - 1)
    sizes = {1}
    while top > 1:
        sizes.add(top)
        top //= ratio
    return tuple(sorted(sizes))


def shapes(lengths: tuple[int, ...], token_budget: int) -> Shapes:
    """The padded shapes of a length ladder; the longer the rows, the fewer of them a batch."""
    return Shapes(lengths, tuple(batch_ladder(length, token_budget) for length in lengths))


def plan(lengths: npt.NDArray[np.integer], table: Shapes) -> list[Step]:
    """Puts rows of the given lengths into padded batches.

    Rows are taken from the longest down; free places in a batch are filled with the next shorter
    rows. Every row stands in exactly one step, and no row may be longer than the last rung.
    Cost: one sort and one small loop turn a batch.
    """
    order = np.argsort(-lengths, kind="stable")
    rung = np.searchsorted(table.lengths, lengths[order])
    ends = np.searchsorted(-rung, -np.arange(len(table.lengths)), side="right")
    steps, at = [], 0
    while at < len(order):
        k = int(rung[at])
        batch = _first_batch(table.batches[k], table.lengths[k], int(ends[k]) - at)
        steps.append(Step(order[at : at + batch], batch, table.lengths[k]))
        at += batch
    return steps


def prepare(table: Shapes) -> None:
    """Works out beforehand what `plan` remembers of these shapes, so that no request waits."""
    for length, ladder in zip(table.lengths, table.batches, strict=True):
        _cover(ladder, length)


def _first_batch(ladder: tuple[int, ...], length: int, rows: int) -> int:
    """Size of the largest batch in the cheapest cover of `rows` rows."""
    return ladder[-1] if rows >= ladder[-1] else _cover(ladder, length)[rows]


@lru_cache(maxsize=1024)
def _cover(ladder: tuple[int, ...], length: int) -> list[int]:
    """For every number of rows below the largest batch: the first batch of its cheapest cover."""
    cost, first = [0], [0]
    for rows in range(1, ladder[-1]):
        options = [(b * length + CALL_COST + cost[max(0, rows - b)], b) for b in ladder]
        best = min(options)
        cost.append(best[0])
        first.append(max(b for c, b in options if c == best[0]))
    return first
