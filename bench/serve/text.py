"""Requests of texts beside the same pairs as token ids: what tokenizing on the way costs."""

from statistics import median
from typing import Any

import click
import numpy as np
import orjson

import o2v_jax
from bench import traffic
from bench.load.job import Job, run
from bench.processes import Server
from bench.serve.plan import CONNECTIONS, Plan
from o2v_jax.data.vocabulary import UNKNOWN

Figures = dict[str, Any]
SIZES = (1, 100)  # pairs a request


def measure_text(plan: Plan, server: Server) -> Figures:
    """Requests a second of ids and of texts, which take turns; nothing without a vocabulary."""
    if o2v_jax.load(plan.model).tokenizers is None:
        click.echo(f"{plan.model} has no vocabulary, so it takes no texts")
        return {"text": []}
    return {"text": [_compare(plan, server, pairs) for pairs in SIZES]}


def _compare(plan: Plan, server: Server, pairs: int) -> Figures:
    ids = plan.make_bodies(pairs)
    texts = _write_texts(plan, ids)
    expected, found = (traffic.decode_scores(server.post(body)) for body in (ids[0], texts[0]))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    job = Job(server.port, CONNECTIONS, plan.seconds, warm_s=plan.warm_s)
    rates: dict[str, list[float]] = {"ids": [], "texts": []}
    for turn in range(plan.rounds):
        sides = [("ids", ids), ("texts", texts)]
        for name, bodies in sides[:: -1 if turn % 2 else 1]:
            rates[name].append(run(job, bodies)["requests_per_s"])
    ratios = [a / b for a, b in zip(rates["texts"], rates["ids"], strict=True)]
    return {
        "pairs": pairs,
        "connections": CONNECTIONS,
        "ids_per_s": round(median(rates["ids"]), 1),
        "texts_per_s": round(median(rates["texts"]), 1),
        "ratio": round(median(ratios), 4),
    }


def _write_texts(plan: Plan, bodies: list[bytes]) -> list[bytes]:
    """The same requests with a text for each sequence of ids."""
    tokenizers = o2v_jax.load(plan.model).tokenizers or ()
    sides = dict(zip(("in0", "in1"), tokenizers, strict=True))
    return [
        traffic.encode_records(
            [
                {name: _write_text(sides[name], ids) for name, ids in record.items()}
                for record in orjson.loads(body)["instances"]
            ]
        )
        for body in bodies
    ]


def _write_text(tokenizer: o2v_jax.Tokenizer, ids: list[int]) -> str:
    """A text with these ids: a word that no vocabulary has stands for the unknown token."""
    return tokenizer.decode(ids).replace(UNKNOWN, "zqzq")
