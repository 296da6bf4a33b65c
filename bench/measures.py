"""What a scoring benchmark measures with, on our side alone."""

from collections.abc import Iterator
from typing import Any

import numpy as np

import bench.lengths as lengths_of
from o2v_jax import Hyperparameters, Model, Ragged, init
from o2v_jax.checkpoint import flatten, nest
from o2v_jax.data.deduplicate import find_unique_rows
from o2v_jax.scoring.buckets import plan
from o2v_jax.scoring.shapes import ShapeTable

VOCABULARY = 20_000
ENCODERS: dict[str, dict[str, Any]] = {
    "hcnn": {"enc_dim": 1024, "enc0_token_embedding_dim": 300},
    "bilstm": {"enc_dim": 512, "enc0_token_embedding_dim": 300},
    "pooled_embedding": {"enc_dim": 300},
}


def make_model(encoder: str, distribution: str) -> Model:
    """A randomly initialised model whose buckets fit the distribution."""
    config = make_config(encoder, distribution)
    arrays = {name: np.asarray(array) for name, array in flatten(init(config)).items()}
    histograms = lengths_of.read_histograms(distribution)
    return Model(config, nest(arrays), length_histogram=histograms)


def make_config(encoder: str, distribution: str) -> Hyperparameters:
    """The configuration of `make_model`."""
    histograms = lengths_of.read_histograms(distribution)
    return Hyperparameters(
        enc0_max_seq_len=max(len(counts) - 1 for counts in histograms),
        enc0_vocab_size=VOCABULARY,
        enc0_network=encoder,  # type: ignore[arg-type]
        **ENCODERS[encoder],
    )


def compute_useful_share(shapes: ShapeTable, sides: tuple[Ragged, Ragged]) -> float:
    """Real tokens over all tokens that the encoders compute, padding included."""
    real = computed = 0
    for side, rows in enumerate(_iterate_distinct(sides)):
        steps = plan(rows.lengths, shapes.extended[side])
        real += len(rows.ids)
        computed += sum(step.batch * step.length for step in steps)
    return real / computed


def count_useful_flops(model: Model, sides: tuple[Ragged, Ragged]) -> int:
    """Multiplications and additions that an hcnn's convolutions need for the real tokens."""
    flops = 0
    for encoder, rows in zip(("source", "target"), _iterate_distinct(sides), strict=True):
        kernels = [layer["weight"] for layer in model.params[encoder].values()]
        flops += 2 * len(rows.ids) * sum(kernel.size for kernel in kernels)
    return flops


def _iterate_distinct(sides: tuple[Ragged, Ragged]) -> Iterator[Ragged]:
    """Each side without its repetitions, which are encoded once."""
    return (rows.take(find_unique_rows(rows)[0]) for rows in sides)
