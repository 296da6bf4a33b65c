"""Scoring from ragged ids to host scores, against PyTorch with the same weights in the same run.

    python -m bench.score [--quick] [--device cpu|gpu] [--json FILE]

Three length distributions of real data, three encoders. Outputs are compared before anything is
timed; the two sides take turns, and the figures are medians.
"""

import json
import os
from pathlib import Path
from typing import Any

import click
import numpy as np

import bench.lengths as lengths_of
from bench.machine import describe
from bench.measures import ENCODERS, VOCABULARY, model_of, table, useful_share
from bench.timing import alternate
from bench.torch_peer import TorchPeer
from o2v_jax import Scorer


def measure(
    encoder: str, distribution: str, records: int, rounds: int, device: str
) -> dict[str, Any]:
    """One row of the table."""
    model = model_of(encoder, distribution)
    scorer, peer = Scorer(model), TorchPeer(model, "cuda" if device == "gpu" else "cpu")
    counts0, counts1 = lengths_of.histograms(distribution)
    in0 = lengths_of.draw(counts0, records, VOCABULARY, seed=0)
    in1 = lengths_of.draw(counts1, records, VOCABULARY, seed=1)
    scorer.warm()
    ready = scorer.compiled
    np.testing.assert_allclose(scorer.score(in0, in1), peer.score(in0, in1), atol=1e-4)
    ours, theirs, ratio = alternate(
        lambda: scorer.score(in0, in1), lambda: peer.score(in0, in1), rounds
    )
    return {
        "encoder": encoder,
        "lengths": distribution,
        "records": records,
        "records_per_s": round(records / ours, 1),
        "torch_records_per_s": round(records / theirs, 1),
        "ratio": round(ratio, 3),
        "useful_tokens": round(useful_share(scorer, (in0, in1)), 4),
        "programs": ready,
        "compiled_while_timed": scorer.compiled - ready,
    }


@click.command()
@click.option("--quick", is_flag=True, help="Fewer records and rounds.")
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@click.option("--encoder", "encoders", type=click.Choice(list(ENCODERS)), multiple=True)
@click.option("--records", type=click.IntRange(1), help="Default 2000, with --quick 1000.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the results here.")
def main(
    quick: bool, device: str, encoders: tuple[str, ...], records: int | None, file: Path | None
) -> None:
    """Measure scoring on every length distribution with every encoder."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu" if device == "cpu" else "cuda")
    count, rounds = (1000, 3) if quick else (2000, 5)
    rows = [
        measure(encoder, distribution, records or count, rounds, device)
        for encoder in encoders or ENCODERS
        for distribution in lengths_of.names()
    ]
    click.echo(table(rows))
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        results = {"benchmark": "score", "machine": describe("torch"), "rows": rows}
        file.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
