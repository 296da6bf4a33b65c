"""What the server holds beside a model with a large token table, and while it answers large.

    python -m bench.memory [--quick] [--device cpu|gpu] [--json FILE]

The model is generated into a temporary folder: 3,000,000 token vectors of 300 numbers, 3.6 GB.
MB are 1e6 bytes. Peak is the sum of what each process of the server held at most.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

import o2v_jax
from bench import options, servers, traffic
from bench.processes import Server
from bench.results import finish
from bench.serve.soak import Watch
from o2v_jax import Hyperparameters, Model
from o2v_jax.checkpoint import nest
from o2v_jax.model import parameter_shapes

Figures = dict[str, Any]
DIM = 300
MODES = ("", "classification", "embedding")
MOST_NUMBERS = 2**24  # in one answer


def measure(model: Path, device: str, records: int, modes: tuple[str, ...]) -> list[Figures]:
    """A row for each INFERENCE_PREFERRED_MODE; an empty one is not set."""
    size = (model / "params.safetensors").stat().st_size / 1e6
    rows = []
    for mode in modes:
        with _serve(model, device, mode) as server:
            ready_s = server.wait_until_ready()
            rows.append(
                _make_row(server, model, mode, size, records) | {"ready_s": round(ready_s, 2)}
            )
    return rows


def _make_row(server: Server, model: Path, mode: str, size: float, records: int) -> Figures:
    config = traffic.read_config(model)
    start = server.measure_memory()
    for body in traffic.make_bodies(config, 50, 20):
        server.post(body)
    steady = server.measure_memory()
    return {
        "preferred_mode": mode or "not set",
        "params_mb": round(size, 1),
        "ready_rss_mb": start.rss,
        "steady_rss_mb": steady.rss,
        "anonymous_mb": steady.anonymous,
        "peak_mb": steady.peak,
        "above_params_mb": round(steady.peak - size, 1),
        **_measure_large_answer(server, records),
    }


def _measure_large_answer(server: Server, records: int) -> Figures:
    """One request for as many embeddings as an answer may hold."""
    body = traffic.encode_records([{"in0": [1 + k % 1000]} for k in range(records)])
    with Watch(server, 0.02) as watch:
        began = time.perf_counter()
        answer = server.post(body)
        seconds = time.perf_counter() - began
    before = server.measure_memory().rss if not watch.samples else watch.samples[0][1]
    return {
        "answer_mb": round(len(answer) / 1e6, 1),
        "answer_s": round(seconds, 3),
        "answer_rss_mb": round(max([rss for _, rss in watch.samples], default=before) - before, 1),
    }


@contextmanager
def _serve(model: Path, device: str, mode: str) -> Iterator[Server]:
    chosen = {"INFERENCE_PREFERRED_MODE": mode} if mode else {}
    with servers.serve_ours(model, device, **chosen) as server:
        yield server


def generate(directory: Path, vocabulary: int, dim: int = DIM) -> Path:
    """A pooled_embedding model with a random token table."""
    config = Hyperparameters(
        enc0_max_seq_len=20,
        enc0_vocab_size=vocabulary,
        enc0_network="pooled_embedding",
        enc_dim=dim,
        mlp_dim=64,
    )
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.random(shape, np.float32) - np.float32(0.5)
        for name, shape in parameter_shapes(config).items()
    }
    return o2v_jax.save(Model(config, nest(arrays)), directory)


@click.command()
@options.add_common
@click.option("--vocabulary", type=click.IntRange(1001), help="3000000, with --quick 100000.")
@click.option("--records", type=click.IntRange(1), help="Of the large answer.")
@click.option("--mode", "modes", type=click.Choice(MODES), multiple=True, help="Only these.")
def main(
    quick: bool,
    device: str,
    file: Path | None,
    vocabulary: int | None,
    records: int | None,
    modes: tuple[str, ...],
) -> None:
    """Measure the server's memory."""
    options.use(device)
    vocabulary = vocabulary or (100_000 if quick else 3_000_000)
    with TemporaryDirectory() as folder:
        model = generate(Path(folder) / "model", vocabulary)
        rows = measure(model, device, records or MOST_NUMBERS // DIM, modes or MODES)
    finish("memory", {"rows": rows}, file, quick=quick, packages=("granian", "flask"))


if __name__ == "__main__":
    main()
