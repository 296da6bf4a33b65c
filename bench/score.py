"""Scoring from ragged ids to host scores, against peers with the same weights in the same run.

    python -m bench.score [--quick] [--device cpu|gpu] [--json FILE]

Every encoder with every length distribution. Outputs are compared before anything is timed, the
sides take turns, and the figures are medians. Every peer sorts by length and has the batch size
that is best for it. How the cost grows, and how the rate depends on batch size and length, is
measured beside.
"""

from pathlib import Path
from statistics import median
from typing import Any, get_args

import click
import numpy as np

import bench.lengths as lengths_of
from bench import growth, matmul, options
from bench.cores import count_cores
from bench.measures import (
    ENCODERS,
    VOCABULARY,
    compute_useful_share,
    count_useful_flops,
    make_model,
)
from bench.peers import HOMES, PACKAGES, Peer, start
from bench.results import finish, keep
from bench.timing import compute_ratio, time_in_turns
from o2v_jax import Model, Ragged, Scorer
from o2v_jax.constants import DType

Sides = tuple[Ragged, Ragged]
TUNED_ON = {"cpu": 512, "gpu": 8192}  # records
RECORDS = {"cpu": 2000, "gpu": 20_000}
ATOL: dict[DType, float] = {"float32": 1e-4, "tensorfloat32": 5e-3, "bfloat16": 2e-2}


def measure(
    encoder: str,
    distribution: str,
    records: int,
    rounds: int,
    device: str,
    names: tuple[str, ...],
    dtype: DType = "float32",
) -> tuple[dict[str, Any], dict[str, str]]:
    """One row of the table, and why peers are not in it.

    Peers compute in float32, in TF32 where we do not.
    """
    model = make_model(encoder, distribution)
    scorer, sides = (
        Scorer(model, dtype=dtype),
        lengths_of.draw_pairs(distribution, records, VOCABULARY),
    )
    scorer.warm(threads=count_cores())
    peers, missing = start(model, device, names, tf32=dtype != "float32")
    _compare(scorer, peers, sides, ATOL[dtype], TUNED_ON[device])
    ready = scorer.compiled
    rate = matmul.measure_gflops(dtype) if encoder == "hcnn" else 0.0
    works = {"ours": lambda: scorer.score(*sides)} | {p.name: _make_work(p, sides) for p in peers}
    if distribution == lengths_of.ONE:
        works |= {
            f"{p.name}, once": _make_work(p, sides, once=True) for p in peers if records <= 1000
        }
    times = time_in_turns(works, rounds)
    row = {
        "encoder": encoder,
        "lengths": distribution,
        "records": records,
        "dtype": dtype,
        "records_per_s": records / median(times["ours"]),
        **dict.fromkeys(names),
        **{peer.name: records / median(times[peer.name]) for peer in peers},
        **_compute_ratios(times, peers),
        "useful_tokens": compute_useful_share(scorer.shapes, sides),
        **_compute_flops(
            model, sides, median(times["ours"]), max(rate, _measure_again(rate, dtype))
        ),
        "programs": ready,
        "compiled_while_timed": scorer.compiled - ready,
    }
    return {name: _round(value) for name, value in row.items()}, missing


def _compare(scorer: Scorer, peers: list[Peer], sides: Sides, atol: float, tuned_on: int) -> None:
    """Everyone gives the same scores; peers choose their batch size."""
    ours = scorer.score(*sides)
    for peer in peers:
        peer.tune(*(rows.take(np.arange(min(len(rows), tuned_on))) for rows in sides))
        np.testing.assert_allclose(ours, peer.score(*sides), atol=atol, err_msg=peer.name)


def _make_work(peer: Peer, sides: Sides, *, once: bool = False) -> Any:
    return (lambda: peer.score_one(*sides)) if once else (lambda: peer.score(*sides))


def _compute_ratios(times: dict[str, list[float]], peers: list[Peer]) -> dict[str, Any]:
    """How many times as fast as the best peer, and as the best that encodes one user once."""
    plain = {peer.name: times[peer.name] for peer in peers}
    once = {name: values for name, values in times.items() if name.endswith(", once")}
    best = min(plain, key=lambda name: median(plain[name]), default=None)
    careful = min(once, key=lambda name: median(once[name]), default=None)
    return {
        "best_peer": best,
        "ratio": compute_ratio(times[best], times["ours"]) if best else None,
        "ratio_encoding_once": compute_ratio(times[careful], times["ours"]) if careful else None,
    }


def _measure_again(rate: float, dtype: DType) -> float:
    return matmul.measure_gflops(dtype) if rate else 0.0


def _compute_flops(model: Model, sides: Sides, seconds: float, rate: float) -> dict[str, Any]:
    """Useful work a second beside the machine's rate, where the work is matrix products."""
    useful = count_useful_flops(model, sides) / seconds / 1e9 if rate else None
    return {
        "useful_gflops": useful,
        "matmul_gflops": rate or None,
        "of_matmul": useful / rate if useful else None,
    }


def _round(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


@click.command()
@options.add_common
@click.option("--encoder", "encoders", type=click.Choice(list(ENCODERS)), multiple=True)
@click.option(
    "--lengths", "distributions", type=click.Choice(lengths_of.list_names()), multiple=True
)
@click.option("--peer", "peers", type=click.Choice(list(HOMES)), multiple=True, help="Only these.")
@click.option("--dtype", type=click.Choice(get_args(DType)), default="float32", help="Of ours.")
@click.option("--records", type=click.IntRange(1), help="Default 2000, 20000 on a GPU; quick half.")
@click.option("--rounds", type=click.IntRange(1), help="Default 7, with --quick 3.")
@click.option("--growth/--no-growth", "grow", default=True, help="Measure how the cost grows.")
def main(
    quick: bool,
    device: str,
    file: Path | None,
    encoders: tuple[str, ...],
    distributions: tuple[str, ...],
    peers: tuple[str, ...],
    dtype: DType,
    records: int | None,
    rounds: int | None,
    grow: bool,
) -> None:
    """Measure scoring with every encoder on every length distribution."""
    options.use(device)
    records = records or RECORDS[device] // (2 if quick else 1)
    rounds = rounds or (3 if quick else 7)
    rows, missing = list[dict[str, Any]](), dict[str, str]()
    sections: dict[str, Any] = {"rows": rows, "not_available": missing}
    for encoder in encoders or ENCODERS:
        for name in distributions or lengths_of.list_names():
            count = min(records, lengths_of.ITEMS) if name == lengths_of.ONE else records
            row, why = measure(encoder, name, count, rounds, device, peers or tuple(HOMES), dtype)
            click.echo(f"{encoder} {name}: {row['records_per_s']:.0f} records/s, {row['ratio']} x")
            rows.append(row)
            missing |= why
            keep("score", sections, file, quick=quick, packages=PACKAGES)
    if grow:
        sections |= growth.measure(device, peers or tuple(HOMES), quick=quick)
    finish("score", sections, file, quick=quick, packages=PACKAGES)


if __name__ == "__main__":
    main()
