"""Several sides timed in turns, so that a noisy machine is noisy for all."""

import time
from collections.abc import Callable, Mapping
from statistics import median

Work = Callable[[], object]
REST_S = 0.02  # between two sides: threads of the one before stop spinning


def measure_seconds(work: Work) -> float:
    """Wall-clock time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def time_in_turns(works: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds of every side, round by round; every other round goes the other way round."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds):
        for name in list(works)[:: -1 if turn % 2 else 1]:
            time.sleep(REST_S)
            times[name].append(measure_seconds(works[name]))
    return times


def compute_ratio(theirs: list[float], ours: list[float]) -> float:
    """Median of theirs / ours, round by round: how many times as fast we are."""
    return median(b / a for a, b in zip(ours, theirs, strict=True))


def alternate(ours: Work, theirs: Work, rounds: int) -> tuple[float, float, float]:
    """Median seconds of each side, and the ratio."""
    times = time_in_turns({"ours": ours, "theirs": theirs}, rounds)
    mine, peers = times["ours"], times["theirs"]
    return median(mine), median(peers), compute_ratio(peers, mine)
