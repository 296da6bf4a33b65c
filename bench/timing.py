"""Two sides timed in turns, so that a noisy machine is noisy for both."""

import time
from collections.abc import Callable
from statistics import median


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def alternate(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int
) -> tuple[float, float, float]:
    """Median seconds of each side, and the median of theirs / ours round by round."""
    pairs = []
    for turn in range(rounds):
        if turn % 2:
            late = seconds(theirs)
            pairs.append((seconds(ours), late))
        else:
            pairs.append((seconds(ours), seconds(theirs)))
    mine, peers = zip(*pairs, strict=True)
    return median(mine), median(peers), median(b / a for a, b in pairs)
