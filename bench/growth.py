"""How the cost of scoring grows: with records, with tokens, and over batch size and length."""

from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

import bench.lengths as lengths_of
from bench.measures import VOCABULARY, make_model
from bench.peers import start
from bench.timing import measure_seconds, time_in_turns
from o2v_jax import Ragged, Scorer
from o2v_jax.data.ragged import offsets_of

RECORDS = (1_000, 10_000, 100_000, 1_000_000)
GROUPS = 6  # of the rows by their length, each with as many rows
LENGTHS, BATCHES = (8, 32, 128), (1, 4, 16, 64, 256, 1024)


def measure(device: str, peers: tuple[str, ...], *, quick: bool) -> dict[str, Any]:
    """Tables `records`, `tokens` and `grid`, and the slopes of the first two in logarithms."""
    records = measure_by_records(RECORDS[:3] if quick else RECORDS)
    tokens = measure_by_tokens(500 if quick else 2000)
    batches = BATCHES[:-1:2] if quick else BATCHES
    return {
        "growth_with_records": records,
        "growth_with_tokens": tokens,
        "slopes": {
            "records": fit_slope(
                [row["records"] for row in records], [r["seconds"] for r in records]
            ),
            "tokens": fit_slope([row["tokens"] for row in tokens], [r["seconds"] for r in tokens]),
        },
        "grid": measure_grid(batches, LENGTHS, device, peers[:1], 2 if quick else 5),
    }


def fit_slope(x: list[float], y: list[float]) -> float:
    """Of a line through the logarithms: 1 where y grows in proportion to x."""
    return round(float(np.polyfit(np.log(x), np.log(y), 1)[0]), 4)


def measure_by_records(counts: tuple[int, ...], distribution: str = "snli") -> list[dict[str, Any]]:
    """Seconds for more and more pairs, with the cheapest encoder."""
    scorer = Scorer(make_model("pooled_embedding", distribution))
    scorer.warm()
    rows = []
    for count in counts:
        sides = lengths_of.draw_pairs(distribution, count, VOCABULARY)
        repeats = max(1, min(7, 100_000 // count))
        spent = median(_measure_times(lambda sides=sides: scorer.score(*sides), repeats))  # type: ignore[misc]
        rows.append({"records": count, "seconds": spent, "records_per_s": round(count / spent)})
    return rows


def measure_by_tokens(records: int) -> list[dict[str, Any]]:
    """Seconds for as many objects of more and more tokens, with an hcnn and the long tail."""
    scorer = Scorer(make_model("hcnn", "lognormal"))
    scorer.warm()
    objects = lengths_of.draw(lengths_of.make_lognormal(), GROUPS * records, VOCABULARY, seed=0)
    order = np.argsort(objects.lengths, kind="stable")
    rows = []
    for places in np.split(order, GROUPS):
        group = objects.take(np.sort(places))
        spent = median(_measure_times(lambda group=group: scorer.embed(group), 3))  # type: ignore[misc]
        rows.append(
            {
                "tokens": len(group.ids),
                "shortest": int(group.lengths.min()),
                "longest": int(group.lengths.max()),
                "seconds": spent,
                "tokens_per_s": round(len(group.ids) / spent),
            }
        )
    return rows


def measure_grid(
    batches: tuple[int, ...],
    lengths: tuple[int, ...],
    device: str,
    peers: tuple[str, ...],
    rounds: int,
) -> list[dict[str, Any]]:
    """Useful tokens a second of an hcnn for calls of every size, beside the peers."""
    model = make_model("hcnn", "lognormal")
    scorer = Scorer(model)
    scorer.warm()
    others, _ = start(model, device, peers)
    rows = []
    for length in lengths:
        for batch in batches:
            sides = _draw_rows(batch, length, 1), _draw_rows(batch, length, 2)
            works: dict[str, Callable[[], object]] = {"ours": lambda s=sides: scorer.score(*s)}  # type: ignore[misc]
            works |= {p.name: lambda p=p, s=sides: p.score(*s) for p in others}  # type: ignore[misc]
            time_in_turns(works, 1)
            rates = {
                name: round(2 * batch * length / median(times))
                for name, times in time_in_turns(works, rounds).items()
            }
            rows.append({"length": length, "batch": batch, **rates})
    return rows


def _draw_rows(rows: int, length: int, seed: int) -> Ragged:
    """Random rows of one length."""
    ids: npt.NDArray[np.int32] = np.random.default_rng(seed).integers(
        1, VOCABULARY, rows * length, np.int32
    )
    return Ragged(ids, offsets_of(np.full(rows, length)))


def _measure_times(work: Callable[[], object], repeats: int) -> list[float]:
    work()
    return [measure_seconds(work) for _ in range(repeats)]
