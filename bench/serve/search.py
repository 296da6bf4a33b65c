"""Searches of an index beside embeddings of the same queries: what the search itself costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson

import bench.lengths as lengths_of
import o2v_jax
from bench import servers
from bench.load.job import Job, run
from bench.processes import Server
from bench.serve.overload import measure_step
from bench.serve.plan import CONNECTIONS, Plan
from o2v_jax.scoring import choose_class

Figures = dict[str, Any]
K = 10
PATHS = {"search": "/search", "embedding": "/invocations"}


def measure_search(plan: Plan) -> Figures:
    """Rates and latencies of both, in turns, and searches at twice the rate of a closed loop."""
    with (
        _make_index(plan) as index,
        servers.serve_ours(plan.model, plan.device, O2V_INDEX=str(index)) as server,
    ):
        server.wait_until_warm()
        bodies = _make_bodies(plan)
        _check_answer(plan, server, index, bodies["search"][0])
        rounds: dict[str, list[Figures]] = {name: [] for name in PATHS}
        for turn in range(plan.rounds):
            for name in list(PATHS)[:: -1 if turn % 2 else 1]:
                rounds[name].append(_load(plan, server, name, bodies[name]))
        rows = [_make_row(plan, name, rounds) for name in PATHS]
        capacity = rows[0]["requests_per_s"]
        twice = measure_step(plan, server, bodies["search"], capacity, 2.0, PATHS["search"])
    return {"requests": rows, "overload": [twice]}


@contextmanager
def _make_index(plan: Plan) -> Iterator[Path]:
    """Items of SNLI's lengths, in a directory."""
    with TemporaryDirectory() as folder:
        model, path = o2v_jax.load(plan.model), Path(folder) / "index"
        _, items = lengths_of.draw_pairs("snli", plan.items, plan.config.enc1_vocab_size, 11)
        column = choose_class(model.config, 0 if model.config.outputs > 1 else None)
        items = items.cut(plan.config.enc1_max_seq_len)
        o2v_jax.Index.build(model, items, class_index=column, output=path)
        yield path


def _make_bodies(plan: Plan) -> dict[str, list[bytes]]:
    """The same queries as requests of each path."""
    rows, _ = lengths_of.draw_pairs("snli", 1000, plan.config.enc0_vocab_size, 12)
    queries = [rows.row(number).tolist() for number in range(len(rows))]
    return {
        "search": [orjson.dumps({"in0": ids, "k": K}) for ids in queries],
        "embedding": [orjson.dumps({"instances": [{"in0": ids}]}) for ids in queries],
    }


def _check_answer(plan: Plan, server: Server, path: Path, body: bytes) -> None:
    """Compares an answer with a search in this process."""
    index = o2v_jax.Index.load(path, o2v_jax.load(plan.model), verify=False)
    (expected,) = index.search([orjson.loads(body)["in0"]], K)
    hits = orjson.loads(server.post(body, path=PATHS["search"]))["hits"]
    scores = [hit["score"] for hit in hits]
    np.testing.assert_allclose(scores, expected.scores, atol=1e-4)


def _load(plan: Plan, server: Server, name: str, bodies: list[bytes]) -> Figures:
    job = Job(server.port, CONNECTIONS, plan.seconds, warm_s=plan.warm_s, path=PATHS[name])
    return run(job, bodies)


def _make_row(plan: Plan, name: str, rounds: dict[str, list[Figures]]) -> Figures:
    """Medians over the rounds, and of the rate over that of embeddings, round by round."""
    found, beside = rounds[name], rounds["embedding"]
    ratios = [
        one["requests_per_s"] / other["requests_per_s"]
        for one, other in zip(found, beside, strict=True)
    ]
    return {
        "request": name,
        "items": plan.items if name == "search" else None,
        "connections": CONNECTIONS,
        "requests_per_s": median(one["requests_per_s"] for one in found),
        "p50_ms": median(one["accepted_ms"]["p50"] for one in found),
        "p99_ms": median(one["accepted_ms"]["p99"] for one in found),
        "rate_over_embedding": None if found is beside else round(median(ratios), 4),
        "not_200": sum(one["answers"] - one["by_status"].get("200", 0) for one in found),
        "client_cpu": median(one["client_cpu"] for one in found),
    }
