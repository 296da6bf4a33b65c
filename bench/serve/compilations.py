"""Whether anything is compiled once the server is ready: mixed requests, and its own metric."""

import re
from typing import Any

from bench import traffic
from bench.load.job import Job, run
from bench.processes import Server
from bench.serve.plan import CONNECTIONS, Plan

# Prometheus: name, perhaps labels, value
_METRIC = re.compile(r"^o2v_compilations_waited_for_total ([0-9.e+]+)$", re.MULTILINE)
SLOWEST_PER_S = 50


def measure_compilations(plan: Plan, server: Server) -> dict[str, Any]:
    """Programs compiled during `plan.requests` mixed requests; None if the server does not say."""
    bodies = traffic.make_mixed_bodies(plan.config, min(plan.requests, 5000))
    limit = plan.requests / SLOWEST_PER_S
    before = read_compiled(server)
    found = run(Job(server.port, CONNECTIONS, limit, requests=plan.requests), bodies)
    after = read_compiled(server)
    row = {
        "requests": found["answers"],
        "not_200": found["answers"] - found["by_status"].get("200", 0),
        "requests_per_s": found["requests_per_s"],
        "compiled_before": before,
        "compiled_after_ready": None if after is None or before is None else after - before,
    }
    return {"compilations": [row]}


def read_compiled(server: Server) -> float | None:
    """Programs that requests waited for, by /metrics; None if there is no such metric."""
    try:
        text = server.get("/metrics").decode()
    except OSError:
        return None
    values = [float(value) for value in _METRIC.findall(text)]
    return sum(values) if values else None
