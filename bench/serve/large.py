"""Requests of 1 MB: what the server adds to decoding, scoring and encoding the same bytes."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from statistics import median
from typing import Any

import numpy as np

import o2v_jax
from bench import traffic
from bench.load.job import Job, run
from bench.processes import Server
from bench.serve.plan import Plan
from o2v_jax.data import DecodeOptions, Format, decode, encode

CONNECTIONS = 4  # and as many threads beside


class InProcess:
    """The same work on the same bytes without a server."""

    def __init__(self, plan: Plan) -> None:
        model = o2v_jax.load(plan.model)
        self._scorer = o2v_jax.Scorer(model)
        self._scorer.warm()
        self._options = DecodeOptions.for_model(model.config, model.tokenizers)

    def answer(self, body: bytes) -> bytes:
        """Bytes to bytes."""
        records = decode(body, Format.JSON, self._options)
        return encode(self._scorer.score(records.in0, records.in1), "scores", Format.JSON)

    def measure_rate(self, bodies: list[bytes], seconds: float) -> float:
        """Answers a second on `CONNECTIONS` threads."""
        numbers, began = count(), time.perf_counter()

        def work() -> int:
            done = 0
            while time.perf_counter() - began < seconds:
                self.answer(bodies[next(numbers) % len(bodies)])
                done += 1
            return done

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            done = sum(pool.map(lambda _: work(), range(CONNECTIONS)))
        return done / (time.perf_counter() - began)


def measure_large(plan: Plan, server: Server) -> dict[str, Any]:
    """Requests a second over `CONNECTIONS` connections, beside the same work in this process."""
    size = 100_000 if plan.quick else traffic.MEGABYTE
    bodies = traffic.make_large_bodies(plan.config, 8, size)
    own, served, inside = InProcess(plan), [], []
    expected = traffic.decode_scores(own.answer(bodies[0]))
    np.testing.assert_allclose(traffic.decode_scores(server.post(bodies[0])), expected, atol=1e-4)
    job = Job(server.port, CONNECTIONS, plan.seconds, warm_s=plan.warm_s)
    for _ in range(plan.rounds):
        inside.append(own.measure_rate(bodies, plan.seconds))
        served.append(run(job, bodies)["requests_per_s"])
    row = {
        "request_bytes": len(bodies[0]),
        "pairs": len(expected),
        "connections": CONNECTIONS,
        "requests_per_s": round(median(served), 3),
        "in_process_per_s": round(median(inside), 3),
        "ratio": round(median(a / b for a, b in zip(served, inside, strict=True)), 4),
    }
    return {"large": [row]}
