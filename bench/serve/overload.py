"""Requests that come whether or not the server keeps up: an open loop, up to twice its capacity."""

from typing import Any

from bench.load.job import Job, run
from bench.processes import Server
from bench.serve.plan import CONNECTIONS, Plan

FACTORS = (0.25, 0.5, 0.75, 0.9, 1.0, 1.25, 1.5, 2.0)
POOL = 512  # connections of the client, more than the server lets wait
PAIRS = (1, 64)
PING_S = 0.05


def measure_overload(plan: Plan, server: Server) -> dict[str, Any]:
    """Steps of load, small requests and larger ones; capacity is the rate of a closed loop."""
    steps, summary = [], []
    for pairs in PAIRS[-1:] if plan.quick else PAIRS:
        found = _measure_steps(plan, server, pairs)
        steps += found
        summary.append(_summarize(found))
    return {"overload": steps, "overload_summary": summary}


def _measure_steps(plan: Plan, server: Server, pairs: int) -> list[dict[str, Any]]:
    bodies = plan.make_bodies(pairs)
    closed = Job(server.port, CONNECTIONS, plan.seconds, warm_s=plan.warm_s)
    capacity = run(closed, bodies)["requests_per_s"]
    factors = (0.5, 1.0, 2.0) if plan.quick else FACTORS
    return [
        {"pairs": pairs, **measure_step(plan, server, bodies, capacity, factor)}
        for factor in factors
    ]


def measure_step(
    plan: Plan,
    server: Server,
    bodies: list[bytes],
    capacity: float,
    factor: float,
    path: str = "/invocations",
) -> dict[str, Any]:
    """What becomes of requests that come at a rate of `factor` times the capacity."""
    rate = max(1.0, factor * capacity)
    job = Job(
        server.port, POOL, plan.seconds, rate=rate, warm_s=plan.warm_s, ping_s=PING_S, path=path
    )
    found = run(job, bodies)
    accepted = found["by_status"].get("200", 0)
    return {
        "of_capacity": factor,
        "offered_per_s": round(rate, 1),
        "accepted_per_s": found["requests_per_s"],
        "accepted_p50_ms": _get(found["accepted_ms"], "p50"),
        "accepted_p99_ms": _get(found["accepted_ms"], "p99"),
        "refused_share": round(1 - accepted / max(1, found["answers"]), 4),
        "refused_p50_ms": _get(found["refused_after_sending_ms"], "p50"),
        "refused_p99_ms": _get(found["refused_after_sending_ms"], "p99"),
        "ping_p99_ms": _get(found["ping_ms"], "p99"),
        "ping_max_ms": _get(found["ping_ms"], "max"),
        "pings_not_200": found["pings_not_200"],
        "lost": found["by_status"].get("0", 0) + found["unsent"],
        "client_cpu": found["client_cpu"],
    }


def _summarize(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """At twice the capacity, beside at capacity."""
    at = {step["of_capacity"]: step for step in steps}
    twice, p99 = at[2.0], [at[factor]["accepted_p99_ms"] for factor in (1.0, 2.0)]
    return {
        "pairs": twice["pairs"],
        "p99_at_2_over_at_1": round(p99[1] / p99[0], 3) if all(p99) else None,
        "refused_share_at_2": twice["refused_share"],
        "refused_p99_ms_at_2": twice["refused_p99_ms"],
        "ping_max_ms": max((step["ping_max_ms"] or 0.0 for step in steps), default=None),
    }


def _get(latencies: dict[str, float] | None, name: str) -> float | None:
    return latencies[name] if latencies else None
