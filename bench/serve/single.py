"""Requests of one pair over many connections: what batching across requests is for."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from bench import servers, traffic
from bench.load.job import Job, run
from bench.peers import NotAvailableError
from bench.processes import Server
from bench.serve.plan import CONNECTIONS, Plan
from bench.torchserve import serve_torchserve

Figures = dict[str, Any]
Maker = Callable[[], AbstractContextManager[Server]]
Reasons = dict[str, str]
PEERS = {"litserve": servers.serve_litserve, "torchserve": serve_torchserve}


def measure_single(plan: Plan) -> Figures:
    """Rate and latencies of all servers, each started anew in every round, and the client's limit.

    A peer has the best of the settings that were tried first.
    """
    bodies = plan.make_bodies()
    makers, tried, missing = _choose_peers(plan, bodies)
    makers = {"o2v": lambda: servers.serve_ours(plan.model, plan.device)} | makers
    rounds: dict[str, list[Figures]] = {name: [] for name in makers}
    answers: dict[str, np.ndarray] = {}
    for turn in range(plan.rounds):
        for name in list(makers)[:: -1 if turn % 2 else 1]:
            with makers[name]() as server:
                rounds[name].append(_measure(plan, server, bodies, answers))
    return {
        "single": [_make_row(name, rounds) for name in makers],
        "client_limit": _measure_client_limit(plan, bodies),
        "settings_tried": tried,
        "not_available": missing,
    }


def _measure_client_limit(plan: Plan, bodies: list[bytes]) -> Figures:
    """What the client reaches at most: beside a server that does nothing."""
    with servers.serve_trivial() as server:
        server.wait_until_warm()
        found = _load(plan, server, bodies)
    return {"requests_per_s": found["requests_per_s"], "cpu": found["client_cpu"]}


def _choose_peers(
    plan: Plan, bodies: list[bytes]
) -> tuple[dict[str, Maker], list[Figures], Reasons]:
    """How to start each peer, all settings that were tried, and why peers are missing."""
    makers: dict[str, Maker] = {}
    tried: list[Figures] = []
    missing: Reasons = {}
    if not plan.peer:
        return makers, tried, dict.fromkeys(PEERS, "left out by --no-peer")
    for name, start in PEERS.items():
        try:
            best, rows = _tune(plan, name, bodies)
        except NotAvailableError as reason:
            missing[name] = str(reason)
        else:
            makers[name] = partial(start, plan.model, plan.device, best)
            tried += rows
    return makers, tried, missing


def _tune(plan: Plan, name: str, bodies: list[bytes]) -> tuple[servers.Batching, list[Figures]]:
    """The settings with which a peer answers most, and all that were tried.

    Raises:
        NotAvailableError: it cannot run here.
    """
    candidates = servers.CANDIDATES[name]
    if plan.quick:  # no time to choose
        PEERS[name](plan.model, plan.device, candidates[0])
        return candidates[0], []
    rates = []
    for batching in candidates:
        with PEERS[name](plan.model, plan.device, batching) as server:
            server.wait_until_warm()
            rates.append(_load(plan, server, bodies)["requests_per_s"])
    rows = zip(rates, candidates, strict=True)
    best = candidates[rates.index(max(rates))]
    return best, [{"server": name, "requests_per_s": rate, **vars(b)} for rate, b in rows]


def _measure(
    plan: Plan, server: Server, bodies: list[bytes], answers: dict[str, np.ndarray]
) -> Figures:
    """Figures of a server that gives the answers of all the others."""
    server.wait_until_warm()
    found = np.concatenate([traffic.decode_scores(server.post(body)) for body in bodies[:10]])
    np.testing.assert_allclose(found, answers.setdefault("first", found), atol=1e-4)
    return _load(plan, server, bodies)


def _load(plan: Plan, server: Server, bodies: list[bytes]) -> Figures:
    return run(Job(server.port, CONNECTIONS, plan.seconds, warm_s=plan.warm_s), bodies)


def _make_row(name: str, rounds: dict[str, list[Figures]]) -> Figures:
    """Medians of a server, and of ours over its, round by round."""
    mine, found = rounds["o2v"], rounds[name]
    return {
        "server": name,
        "connections": CONNECTIONS,
        "requests_per_s": median(_collect(found, "requests_per_s")),
        "p50_ms": median(_collect(found, "accepted_ms", "p50")),
        "p99_ms": median(_collect(found, "accepted_ms", "p99")),
        "our_rate_over_its": _compute_ratio(mine, found, "requests_per_s"),
        "our_p99_over_its": _compute_ratio(mine, found, "accepted_ms", "p99"),
        "not_200": sum(one["answers"] - one["by_status"].get("200", 0) for one in found),
        "client_cpu": median(_collect(found, "client_cpu")),
    }


def _compute_ratio(ours: list[Figures], theirs: list[Figures], *path: str) -> float | None:
    if ours is theirs:
        return None
    both = zip(_collect(ours, *path), _collect(theirs, *path), strict=True)
    return round(median(a / b for a, b in both), 4)


def _collect(rounds: list[Figures], *path: str) -> list[float]:
    """A figure of every round."""
    values: list[Any] = list(rounds)
    for key in path:
        values = [value[key] for value in values]
    return values
