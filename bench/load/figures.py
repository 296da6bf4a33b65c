"""What a job saw, as figures."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from bench.load.job import Job
from bench.load.loop import Load, Note

OK = 200
PERCENTILES = (50, 90, 99, 99.9)


def compute_figures(load: Load, cpu_s: float) -> dict[str, Any]:
    """Rates, latencies from the time a request was due, and what the client itself took.

    The time of a closed loop ends with its first answer, if none came sooner: a slow server has a
    low rate, and not none.

    Args:
        load: when done.
        cpu_s: processor seconds of this process while it was.
    """
    job = load.job
    first = min((note.due for note in load.notes), default=0.0) + job.warm_s
    last = first + job.seconds
    if job.rate is None:
        answered = (note.answered for note in load.notes if note.answered >= first)
        last = max(last, min(answered, default=last))
    if job.requests is not None:
        last = min(last, max((note.answered for note in load.notes), default=first))
    counted = [note for note in load.notes if first <= _choose_time(job, note) <= last]
    accepted = [note for note in counted if note.status == OK]
    refused = [note for note in counted if note.status not in {0, OK}]
    spent = max(last - first, 1e-9)
    return {
        "seconds": round(spent, 3),
        "answers": len(counted),
        "by_status": {str(k): n for k, n in sorted(Counter(n.status for n in counted).items())},
        "unsent": load.unsent,
        "requests_per_s": round(len(accepted) / spent, 3),
        "accepted_ms": compute_percentiles(note.answered - note.due for note in accepted),
        "refused_ms": compute_percentiles(note.answered - note.due for note in refused),
        "refused_after_sending_ms": compute_percentiles(
            note.answered - note.sent for note in refused
        ),
        "ping_ms": compute_percentiles(n.answered - n.due for n in load.pings if n.status == OK),
        "pings_not_200": sum(note.status != OK for note in load.pings),
        "client_cpu": round(cpu_s / (spent + job.warm_s), 3),
    }


def compute_percentiles(seconds: Iterable[float]) -> dict[str, float] | None:
    """Percentiles and the maximum of the latencies, None if there are none."""
    times = [1000 * one for one in seconds]
    if not times:
        return None
    found = np.percentile(times, PERCENTILES)
    named = {f"p{p:g}": round(float(v), 3) for p, v in zip(PERCENTILES, found, strict=True)}
    return named | {"max": round(max(times), 3)}


def _choose_time(job: Job, note: Note) -> float:
    """A closed loop counts what was answered in the time, an open one what was due in it."""
    return note.answered if job.rate is None else note.due
