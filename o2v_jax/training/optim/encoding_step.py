"""Encodings of a batch, computed where training computes, as one jitted pure function."""

from collections.abc import Callable
from functools import partial

import jax
from jaxtyping import Array

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import Params, unchecked_encode_pairs_fn
from o2v_jax.training.data.batches import Batch
from o2v_jax.training.optim.batch_vocabulary import RowsByTable
from o2v_jax.training.optim.placement import Placement
from o2v_jax.training.optim.step import prepare_batch, take_tables


def make_encoding_step(
    config: Hyperparameters, placement: Placement | None = None
) -> Callable[[Params, Batch], tuple[Array, Array]]:
    """A function (params, batch) -> encodings of in0 and of in1, jitted, without dropout."""
    placement = placement or Placement.default()

    def encode(params: Params, batch: Batch) -> tuple[Array, Array]:
        on_devices, rows = prepare_batch(config, placement, batch, remap=placement.shard_tables)
        encodings: tuple[Array, Array]
        encodings = placement.take_local(_encode(config, placement, params, on_devices, rows))
        return encodings

    return encode


@partial(jax.jit, static_argnums=(0, 1))
def _encode(
    config: Hyperparameters, placement: Placement, params: Params, batch: Batch, rows: RowsByTable
) -> tuple[Array, Array]:
    with placement.use():
        small = take_tables(placement, params, rows)
        encodings = unchecked_encode_pairs_fn(config)({**params, **small}, batch.in0, batch.in1)
    replicated: tuple[Array, Array]
    replicated = jax.lax.with_sharding_constraint(encodings, placement.replicated)
    return replicated
