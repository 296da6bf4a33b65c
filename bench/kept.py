"""One new query beside 1,000 objects whose encodings were kept, against peers in the same run.

    python -m bench.kept [--quick] [--device cpu|gpu] [--json FILE]

Encodings of what is ranked are computed once, and serve every query (`Scorer.rank`). `ratio` is
over the best peer that scores the pairs anew, as a caller without kept encodings does;
`ratio_to_kept` over the best peer that keeps encodings too. Outputs are compared before anything is
timed.
"""

from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

import bench.lengths as lengths_of
from bench import options
from bench.measures import ENCODERS, VOCABULARY, make_model
from bench.peers import HOMES, PACKAGES, Peer, start
from bench.results import finish
from bench.timing import Work, compute_ratio, measure_seconds, time_in_turns
from o2v_jax import Ragged, Scorer
from o2v_jax.array_types import Floats

ATOL = 1e-4
BLOCK_S = 0.1  # what is timed at a time: a call may take a millisecond


def measure(
    encoder: str, items: int, rounds: int, device: str, names: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, str]]:
    """One row of the table, and why peers are not in it."""
    model = make_model(encoder, lengths_of.ONE)
    in0, in1 = lengths_of.draw_pairs(lengths_of.ONE, items, VOCABULARY)
    once = in0.take(np.zeros(1, np.int64))
    scorer = Scorer(model)
    peers, missing = start(model, device, names)
    for peer in peers:
        peer.tune(in0, in1)
    rank = partial(_rank, scorer, once, scorer.embed(in1=in1))
    works: dict[str, Work] = {"ours": rank}
    works |= {peer.name: partial(peer.score, in0, in1) for peer in peers}
    works |= {f"{p.name}, kept": partial(_score_kept, p, once, p.encode(1, in1)) for p in peers}
    _compare(scorer, rank(), works, in0, in1)
    times = _time_calls(works, rounds)
    row: dict[str, Any] = {"encoder": encoder, "records": len(in1)}
    row |= {"records_per_s": len(in1) / median(times["ours"])}
    for name, chosen in (
        ("ratio", [peer.name for peer in peers]),
        ("ratio_to_kept", [f"{peer.name}, kept" for peer in peers]),
    ):
        best = min(chosen, key=lambda side: median(times[side]), default=None)
        row |= {name: compute_ratio(times[best], times["ours"]) if best else None}
        row |= {f"best_of_{name}": best}
    return {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()}, missing


def _rank(scorer: Scorer, once: Ragged, kept: Floats) -> Floats:
    """Scores of class 0 in the order of the candidates' ranks."""
    return scorer.rank(once.row(0), kept, len(kept), class_index=0).scores


def _score_kept(peer: Peer, once: Ragged, kept: Any) -> Floats:
    return peer.compare(peer.encode(0, once), kept)


def _compare(
    scorer: Scorer, ranked: Floats, works: dict[str, Work], in0: Ragged, in1: Ragged
) -> None:
    """Everyone gives the same scores."""
    right = scorer.score(in0, in1)
    np.testing.assert_allclose(ranked, np.sort(right[:, 0])[::-1], atol=ATOL)
    for name, work in works.items():
        if name != "ours":
            np.testing.assert_allclose(right, np.asarray(work()), atol=ATOL, err_msg=name)


def _time_calls(works: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds of a call of every side, round by round, each the mean of a block of calls."""
    counts = {name: max(1, round(BLOCK_S / measure_seconds(work))) for name, work in works.items()}
    blocks = {name: partial(_repeat, works[name], count) for name, count in counts.items()}
    times = time_in_turns(blocks, rounds)
    return {name: [block / counts[name] for block in found] for name, found in times.items()}


def _repeat(work: Work, count: int) -> None:
    for _ in range(count):
        work()


@click.command()
@options.add_common
@click.option("--encoder", "encoders", type=click.Choice(list(ENCODERS)), multiple=True)
@click.option("--peer", "peers", type=click.Choice(list(HOMES)), multiple=True, help="Only these.")
@click.option("--items", type=click.IntRange(1, lengths_of.ITEMS), default=lengths_of.ITEMS)
@click.option("--rounds", type=click.IntRange(1), help="Default 7, with --quick 3.")
def main(
    quick: bool,
    device: str,
    file: Path | None,
    encoders: tuple[str, ...],
    peers: tuple[str, ...],
    items: int,
    rounds: int | None,
) -> None:
    """Measure one query beside kept encodings with every encoder."""
    options.use(device)
    rows, missing = list[dict[str, Any]](), dict[str, str]()
    for encoder in encoders or ENCODERS:
        row, why = measure(
            encoder, items, rounds or (3 if quick else 7), device, peers or tuple(HOMES)
        )
        click.echo(f"{encoder}: {row['records_per_s']:.0f} records/s, {row['ratio']} x")
        rows.append(row)
        missing |= why
    sections = {"rows": rows, "not_available": missing}
    finish("kept", sections, file, quick=quick, packages=PACKAGES)


if __name__ == "__main__":
    main()
