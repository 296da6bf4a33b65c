"""Mixed requests for minutes at half the capacity: whether memory grows."""

import time
from statistics import median
from threading import Event, Thread
from typing import Any, Self

from bench import traffic
from bench.load.job import Job, run
from bench.processes import Server
from bench.serve.plan import CONNECTIONS, Plan

KEPT = 60  # samples in the results


class Watch:
    """Samples a server's memory every so often, in a thread, until the block ends."""

    def __init__(self, server: Server, every_s: float) -> None:
        self.samples: list[tuple[float, float]] = []
        self._server, self._every_s, self._end = server, every_s, Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.perf_counter()
        while not self._end.wait(self._every_s):
            self.samples.append((time.perf_counter() - began, self._server.measure_memory().rss))


def measure_soak(plan: Plan, server: Server) -> dict[str, Any]:
    """Resident MB over time, and the last tenth of the time beside the second."""
    bodies = traffic.make_mixed_bodies(plan.config, 200 if plan.quick else 2000)
    closed = Job(server.port, CONNECTIONS, plan.seconds, warm_s=plan.warm_s)
    rate = max(1.0, run(closed, bodies)["requests_per_s"] / 2)
    with Watch(server, min(1.0, plan.soak_s / 50)) as watch:
        found = run(Job(server.port, 4 * CONNECTIONS, plan.soak_s, rate=rate), bodies)
    row = {
        "seconds": plan.soak_s,
        "requests": found["answers"],
        "not_200": found["answers"] - found["by_status"].get("200", 0),
        **_compute_growth([rss for _, rss in watch.samples]),
    }
    step = max(1, len(watch.samples) // KEPT)
    return {"soak": [row], "soak_rss": [[round(t, 1), rss] for t, rss in watch.samples[::step]]}


def _compute_growth(rss: list[float]) -> dict[str, float]:
    tenth = max(1, len(rss) // 10)
    early, late = median(rss[tenth : 2 * tenth] or rss), median(rss[-tenth:])
    return {
        "rss_mb_early": round(early, 1),
        "rss_mb_late": round(late, 1),
        "growth": round(late / early - 1, 4),
        "rss_mb_peak": max(rss),
    }
