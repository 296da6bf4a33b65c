"""Ladders: the few sizes that lengths and batches are padded up to. Integers only, no JAX."""

from collections.abc import Sequence
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
