"""Encoders by themselves, beside PyTorch's: ids lie on the device and encodings stay there.

    python -m bench.programs [--quick] [--device cpu|gpu] [--dtype float32] [--json FILE]

What a Scorer's call costs beyond these is the host's work and the way to the device. All tokens are
real. On a GPU PyTorch's bilstm is cuDNN's, and its convolutions are too; both sides multiply in
float32, or in TF32 where another dtype than float32 is asked for.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click
import jax
import numpy as np

from bench import matmul, options
from bench.measures import ENCODERS, VOCABULARY, make_model
from bench.results import finish
from bench.timing import alternate
from o2v_jax import Model
from o2v_jax.constants import DType
from o2v_jax.scoring.shapes import choose_model_shapes
from o2v_jax.scoring.weights import Weights

IN_A_ROW = 10
TORCH = {"cpu": "cpu", "gpu": "cuda"}
Ids = np.ndarray


def measure(encoder: str, dtype: DType, device: str, lengths: int, rounds: int) -> list[Any]:
    """Rows for so many length buckets of SNLI, each with its largest batch."""
    model = make_model(encoder, "snli")
    params, table = Weights(model, dtype), choose_model_shapes(model).usual[0]
    chosen = np.linspace(0, len(table.lengths) - 1, lengths).round().astype(int)
    rate = matmul.measure_gflops(dtype) if encoder == "hcnn" else None
    rows = []
    for bucket in chosen:
        batch, length = table.batch_sizes[bucket][-1], table.lengths[bucket]
        ids = np.random.default_rng(0).integers(1, VOCABULARY, (batch, length)).astype(np.int32)
        began = time.perf_counter()
        ours = _make_ours(params, ids)
        row = {"encoder": encoder, "dtype": dtype, "length": length, "batch": batch}
        row["compile_s"] = round(time.perf_counter() - began, 2)
        mine, theirs, ratio = alternate(ours, _make_torchs(model, ids, device, dtype), rounds)
        row |= {"ms": _round_ms(mine), "torch_ms": _round_ms(theirs), "ratio": round(ratio, 3)}
        rows.append(row | _compute_share(model, ids, mine / IN_A_ROW, rate))
    return rows


def _make_ours(params: Weights, ids: Ids) -> Callable[[], object]:
    program, given = params.compile_encode(len(ids), 0, *ids.shape), jax.device_put(ids)
    table, first = params.make_table(len(ids)), params.first_row

    def work() -> None:
        nonlocal table
        for _ in range(IN_A_ROW):
            table, _ = program(table, first, *params.get_encoder(0), given)
        table.block_until_ready()

    work()
    return work


def _make_torchs(model: Model, ids: Ids, device: str, dtype: DType) -> Callable[[], object]:
    import torch  # noqa: PLC0415 - after JAX has set up its threads

    from bench.peers.torch_network import TorchNetwork  # noqa: PLC0415

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = dtype != "float32"
    network = TorchNetwork(model.config, model.params, TORCH[device])
    given = torch.from_numpy(ids).to(network.device)
    starts = torch.arange(0, ids.size, ids.shape[1], dtype=torch.int32, device=network.device)
    lengths = torch.full(ids.shape[:1], ids.shape[1])

    def encode() -> Any:
        if network.has("pooled_embedding"):
            return network.pooled(network.get_table(0), given.ravel(), starts)
        if network.has("hcnn"):
            return network.hcnn(network.get_table(0), network.params["source"], given)
        return network.bilstm(network.get_table(0), network.lstms[0], given, lengths)

    def work() -> None:
        with torch.inference_mode():
            for _ in range(IN_A_ROW):
                encodings = encode()
            encodings[0, 0].item()  # waits for the device

    work()
    return work


def _compute_share(model: Model, ids: Ids, seconds: float, rate: float | None) -> dict[str, Any]:
    """Of the rate of matrix products, by the definition's multiplications and additions."""
    if rate is None:
        return {}
    weights = sum(layer["weight"].size for layer in model.params["source"].values())
    gflops = 2 * weights * ids.size / seconds / 1e9
    return {"gflops": round(gflops), "of_matmul": round(gflops / rate, 3)}


def _round_ms(seconds: float) -> float:
    return round(1e3 * seconds / IN_A_ROW, 3)


@click.command()
@options.add_common
@click.option("--encoder", "encoders", type=click.Choice(list(ENCODERS)), multiple=True)
@click.option("--dtype", type=click.Choice(get_args(DType)), default="float32", help="Of ours.")
def main(
    quick: bool, device: str, file: Path | None, encoders: tuple[str, ...], dtype: DType
) -> None:
    """Measure encoders by themselves."""
    options.use(device)
    rows = []
    for encoder in encoders or ENCODERS:
        rows += measure(encoder, dtype, device, 2 if quick else 4, 3 if quick else 7)
    finish("programs", {"rows": rows}, file, quick=quick, packages=("torch",))


if __name__ == "__main__":
    main()
