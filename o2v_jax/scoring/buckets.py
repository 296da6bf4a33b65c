"""Which rows go into which padded shape, and how to get them back. Integers only, no JAX.

A ladder is an increasing tuple of sizes. Rows of tokens are padded up to a rung of the length
ladder and a batch up to a rung of the batch ladder, so that few compiled shapes serve all traffic.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from o2v_jax.ladders import batch_ladder

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
