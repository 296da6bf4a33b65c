"""An hcnn's programs by themselves: ids lie on the device, encodings stay there.

What a Scorer's call costs beyond these is the host's work and the way to the device.
"""

from statistics import median
from typing import Any

import jax
import numpy as np

from bench.measures import model_of
from bench.timing import seconds
from o2v_jax.limits import DType
from o2v_jax.scoring.layout import layout_of
from o2v_jax.scoring.parameters import Parameters

IN_A_ROW = 10


def measure(distribution: str, dtype: DType, rate: float, rounds: int) -> list[dict[str, Any]]:
    """For every length of the ladder its largest batch, beside a rate of matrix products.

    All tokens are real; the work is that of the definition.

    Args:
        distribution: of lengths.
        dtype: of the Scorer.
        rate: what `matmul.gflops` measured for this dtype.
        rounds: the figures are medians of so many.
    """
    model = model_of("hcnn", distribution)
    params, table = Parameters(model, dtype), layout_of(model).usual[0]
    flops = 2 * sum(layer["weight"].size for layer in model.params["source"].values())
    rows = []
    for length, batches in zip(table.lengths, table.batches, strict=True):
        spent = _seconds(params, batches[-1], length, rounds)
        gflops = flops * batches[-1] * length / spent / 1e9
        rows.append(
            {
                "encoder": "hcnn",
                "dtype": dtype,
                "length": length,
                "batch": batches[-1],
                "ms": round(1e3 * spent, 3),
                "gflops": round(gflops),
                "of_matmul": round(gflops / rate, 3),
            }
        )
    return rows


def _seconds(params: Parameters, batch: int, length: int, rounds: int) -> float:
    """Of one call among several."""
    program, ids = params.encode(0, batch, length), jax.device_put(_ids(batch, length))

    def work() -> None:
        for _ in range(IN_A_ROW):
            encodings = program(*params.tower(0), ids)
        encodings.block_until_ready()

    work()
    return median(seconds(work) for _ in range(rounds)) / IN_A_ROW


def _ids(batch: int, length: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 1000, (batch, length)).astype(np.int32)
