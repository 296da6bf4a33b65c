"""Bytes that devices exchange in a training step, read from the programs that XLA compiled.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python -m bench.collectives
"""

import re
from dataclasses import replace
from math import prod

import jax

from bench.workloads import make_document_workload
from o2v_jax import Hyperparameters
from o2v_jax.model import random_key
from o2v_jax.training.data.batches import Batch
from o2v_jax.training.optim.batch_vocabulary import RowsByTable
from o2v_jax.training.optim.placement import Placement
from o2v_jax.training.optim.step import init_state_from_keys, prepare_batch, update_state

BATCHES = (512, 4096)
_CALLS = re.compile(r"^.* = (.*?) ((?:all|collective|reduce-scatter)[\w-]*)\(", re.MULTILINE)
_FLOAT32 = re.compile(r"f32\[([\d,]*)\]")


def list_collectives(storage: str, batch: int, *, shard: bool) -> tuple[int, list[tuple[str, int]]]:
    """Returns the rows that a step reads, 0 for whole tables, and its collectives: name, bytes."""
    workload = make_document_workload(storage)
    config = replace(workload.config, mini_batch_size=batch)
    placement = Placement.over(jax.devices(), shard_tables=shard)
    (whole,) = replace(workload, config=config).make_batches(batch // 4)[:1]
    remap = shard or storage == "row_sparse"
    on_devices, rows = prepare_batch(config, placement, whole, remap=remap)
    program = _compile(config, placement, on_devices, rows)
    read = max((len(each) for each in rows.values()), default=0)
    return read, [(name, _count_bytes(shapes)) for shapes, name in _CALLS.findall(program)]


def _compile(config: Hyperparameters, placement: Placement, batch: Batch, rows: RowsByTable) -> str:
    """Compiles a step for a state of these shapes, which need not exist."""
    keys = random_key(0), random_key(1)
    shapes = jax.eval_shape(lambda: init_state_from_keys(config, placement, *keys, ()))
    state = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        placement.find_shardings(config, shapes),
    )
    text: str = (
        update_state.lower(config, placement, state, batch, rows, {}).compile().as_text() or ""
    )
    return text


def _count_bytes(shapes: str) -> int:
    """All that travels is float32."""
    found = _FLOAT32.findall(shapes)
    return sum(4 * prod(map(int, filter(None, dims.split(",")))) for dims in found)


def main() -> None:
    """Prints a line for every kind of table."""
    for storage, shard in (("dense", False), ("row_sparse", False), ("row_sparse", True)):
        for batch in BATCHES if storage == "row_sparse" else BATCHES[:1]:
            rows, found = list_collectives(storage, batch, shard=shard)
            name = storage + ", sharded" * shard
            calls = ", ".join(f"{kind} {size / 1e6:.1f} MB" for kind, size in found)
            print(f"{name}, batch {batch}, {rows} rows: {calls}", flush=True)


if __name__ == "__main__":
    main()
