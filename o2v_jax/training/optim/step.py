"""One step of training and of evaluation, as jitted pure functions.

The same functions run on one device and on several: the batch is sharded by rows, the rest as the
`Placement` says, and XLA derives the communication. Dropout does not depend on the placement,
because JAX draws random bits from a key and a position.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from o2v_jax.array_types import Ids
from o2v_jax.devices import own_settings
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.memory import give_back_freed_memory
from o2v_jax.model import (
    Params,
    init_from_key,
    random_key,
    unchecked_encode_pairs_fn,
    unchecked_logits_fn,
)
from o2v_jax.model.ops.winograd import choose_min_fan
from o2v_jax.training.data.batches import Batch
from o2v_jax.training.data.pretrained import Pretrained, find_frozen_rows, insert_pretrained
from o2v_jax.training.optim.batch_vocabulary import RowsByTable, remap_ids, remap_ids_in_step
from o2v_jax.training.optim.in_batch import measure_in_batch
from o2v_jax.training.optim.loss import Scalar, Sums, sum_batch, sum_records
from o2v_jax.training.optim.optimizers import apply_update, make_optimizer
from o2v_jax.training.optim.placement import Placement
from o2v_jax.training.optim.row_sparse import (
    SparseTable,
    apply_row_updates,
    apply_sharded_row_updates,
    list_sparse_tables,
    pack_table,
    take_vectors,
)

LARGE = 2**23  # numbers of a table that a CPU's cache does not hold: 32 MB

Frozen: TypeAlias = Mapping[str, Array]  # for each table that has any: which rows are, bool [vocab]


class TrainState(NamedTuple):
    """What a training step reads and replaces.

    Attributes:
        dense: the parameters that every step updates in whole.
        optimizer: the state of their optimizer.
        key: draws the dropout.
        tables: row_sparse token tables by name, each with its optimizer state.
    """

    dense: Params
    optimizer: Any
    key: Array
    tables: dict[str, SparseTable]

    @property
    def params(self) -> Params:
        """All parameters; row_sparse tables are copied out from beside their moments."""
        return {**self.dense, **{name: {"weight": t.weight} for name, t in self.tables.items()}}


def init_state(
    config: Hyperparameters,
    seed: int,
    pretrained: Sequence[Pretrained] = (),
    placement: Placement | None = None,
) -> TrainState:
    """Freshly initialised parameters, with the pretrained vectors, and optimizer state.

    Without a placement they are on JAX's default device. No device holds a sharded table in whole.
    """
    placement = placement or Placement.default()
    keys = random_key(seed), random_key((seed + 1) % 2**63)
    with own_settings():
        state: TrainState = init_state_from_keys(config, placement, *keys, tuple(pretrained))
    jax.block_until_ready(state)
    give_back_freed_memory()  # of what was there only until the tables were packed
    return state


@partial(jax.jit, static_argnums=(0, 1))
def init_state_from_keys(
    config: Hyperparameters,
    placement: Placement,
    key: Array,
    dropout_key: Array,
    pretrained: tuple[Pretrained, ...],
) -> TrainState:
    """`init_state` as one program, which can also be traced for the shapes alone."""
    params = insert_pretrained(init_from_key(config, key), pretrained)
    params = {name: _pad_table(placement, name, part) for name, part in params.items()}
    optimizer, sparse = make_optimizer(config), list_sparse_tables(config)
    tables = {name: pack_table(optimizer, params.pop(name)["weight"]) for name in sparse}
    state = TrainState(params, optimizer.init(params), dropout_key, tables)
    sharded: TrainState = placement.constrain(config, state)
    return sharded


def _pad_table(placement: Placement, name: str, part: Params) -> Params:
    """A token table with as many rows as its devices can share evenly."""
    if not (placement.shard_tables and name.startswith("embed_")):
        return part
    rows = len(part["weight"])
    return {"weight": jnp.pad(part["weight"], ((0, placement.round_up(rows) - rows), (0, 0)))}


def make_train_step(
    config: Hyperparameters,
    pretrained: Sequence[Pretrained] = (),
    placement: Placement | None = None,
    *,
    remap_on_host: bool | None = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, Sums]]:
    """A function (state, batch) -> (next state, sums over the batch), jitted; the state is donated.

    The batch is the whole one, on the host. The sums are on this host's first device. Rows of
    frozen pretrained vectors stay exactly as they are. `remap_on_host` says whether the host finds
    the distinct rows that a batch names; the default is what is faster, and sharded tables need it.
    """
    placement = placement or Placement.default()
    frozen = placement.put_replicated(_find_frozen(config, placement, pretrained))
    remap = remaps_on_host(config, placement) if remap_on_host is None else remap_on_host

    def train(state: TrainState, batch: Batch) -> tuple[TrainState, Sums]:
        on_devices, rows = prepare_batch(config, placement, batch, remap=remap)
        state, sums = update_state(config, placement, state, on_devices, rows, frozen)
        return state, placement.take_local(sums)

    return train


def make_evaluation_step(
    config: Hyperparameters, placement: Placement | None = None
) -> Callable[[Params, Batch], Sums]:
    """A function (params, batch) -> sums over the batch, jitted, without dropout."""
    placement = placement or Placement.default()

    def evaluate(params: Params, batch: Batch) -> Sums:
        on_devices, rows = prepare_batch(config, placement, batch, remap=placement.shard_tables)
        sums: Sums = placement.take_local(_evaluate(config, placement, params, on_devices, rows))
        return sums

    return evaluate


def remaps_on_host(config: Hyperparameters, placement: Placement, large: int = LARGE) -> bool:
    """Whether the host finds the distinct rows that a batch names.

    Only these rows of row_sparse and sharded tables are read. On a CPU they also save time: a
    bilstm multiplies each of them once, and the gradient of a table of more than `large` numbers is
    added up in a small one. A single accelerator finds them itself, within the step.
    """
    several = len(placement.devices) > 1
    if placement.platform != "cpu":
        return several and (placement.shard_tables or bool(list_sparse_tables(config)))
    encoders = [config.encoder(side) for side in (0, 1)]
    bilstm = any(encoder.network == "bilstm" for encoder in encoders)
    is_large = any(e.vocab_size * e.token_embedding_dim > large for e in encoders)
    return bilstm or is_large or placement.shard_tables or bool(list_sparse_tables(config))


def prepare_batch(
    config: Hyperparameters, placement: Placement, batch: Batch, *, remap: bool
) -> tuple[Batch, RowsByTable]:
    """The batch on the devices; if wanted, its ids remapped to positions among its rows."""
    rows: RowsByTable = {}
    if remap:
        # a bilstm's step takes long to compile, and of a large table little is gained by more
        sizes = 4 if list_sparse_tables(config) or placement.shard_tables else 1
        rows, in0, in1 = remap_ids(config, batch.in0, batch.in1, sizes)
        batch = batch._replace(in0=in0, in1=in1)
    return placement.put_batch(batch, rows)


def _find_frozen(
    config: Hyperparameters, placement: Placement, pretrained: Sequence[Pretrained]
) -> dict[str, Any]:
    """Which rows of a table are frozen; rows that pad a sharded table are not."""
    frozen = find_frozen_rows(config, pretrained)
    if not placement.shard_tables:
        return dict(frozen)
    return {
        name: np.pad(rows, (0, placement.round_up(len(rows)) - len(rows)))
        for name, rows in frozen.items()
    }


# with a static configuration, runs of equal ones share their programs
@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def update_state(
    config: Hyperparameters,
    placement: Placement,
    state: TrainState,
    batch: Batch,
    rows: RowsByTable,
    frozen: Frozen,
) -> tuple[TrainState, Sums]:
    """Differentiates and updates the dense parameters, and of the sparse tables the batch's rows.

    `rows` and positions among them are given, or found here.
    """
    if not rows and list_sparse_tables(config):
        rows, in0, in1 = remap_ids_in_step(config, batch.in0, batch.in1)
        batch = batch._replace(in0=in0, in1=in1)  # type: ignore[arg-type]
    optimizer, (key, dropout_key) = make_optimizer(config), jax.random.split(state.key)
    params = {**state.dense, **_look_up(placement, state, rows)}
    loss = partial(_compute_loss, config, choose_min_fan(placement.platform))
    with placement.use():
        gradients, sums = jax.grad(loss, has_aux=True)(params, batch, dropout_key)
    if placement.shard_tables:
        update_rows = partial(apply_sharded_row_updates, placement, optimizer)
    else:
        in_chunks = placement.platform == "cpu"
        update_rows = partial(apply_row_updates, optimizer, in_chunks=in_chunks)
    tables = {
        name: update_rows(
            name, table, gradients[name], rows[name], select_frozen(frozen, name, rows[name])
        )
        for name, table in state.tables.items()
    }
    of_dense = {
        name: _expand_gradient(placement, gradients[name], rows.get(name), part)
        for name, part in state.dense.items()
    }
    dense, opt_state = apply_update(optimizer, state.dense, of_dense, state.optimizer, frozen)
    return placement.constrain(config, TrainState(dense, opt_state, key, tables)), sums


def _look_up(placement: Placement, state: TrainState, rows: RowsByTable) -> Params:
    """Of token tables, row_sparse or dense, these rows, on every device."""

    def take(name: str, at: Ids | Array) -> Array:
        if name in state.tables:
            return take_vectors(state.tables[name], at)
        return _take_rows(state.dense[name]["weight"], at)

    found = {name: {"weight": take(name, at)} for name, at in rows.items()}
    replicated: Params = jax.lax.with_sharding_constraint(found, placement.replicated)
    return replicated


def _take_rows(table: Array, rows: Ids | Array) -> Array:
    return table.at[rows].get(mode="clip", unique_indices=True, indices_are_sorted=True)


def _expand_gradient(
    placement: Placement, gradient: Params, rows: Ids | Array | None, part: Params
) -> Params:
    """The gradient of a whole dense table from that of the rows it was read by."""
    if rows is None:
        return gradient
    sharding = placement.by_rows if placement.shard_tables else placement.replicated
    zeros = jax.lax.with_sharding_constraint(jnp.zeros_like(part["weight"]), sharding)
    whole = zeros.at[rows].set(
        gradient["weight"], mode="drop", unique_indices=True, indices_are_sorted=True
    )
    return {"weight": whole}


def select_frozen(frozen: Frozen, name: str, rows: Ids | Array) -> Frozen:
    """Which of these rows of a table are frozen, if it has frozen ones at all."""
    if name not in frozen:
        return {}
    return {name: frozen[name].at[rows].get(mode="fill", fill_value=True)}


def _compute_loss(
    config: Hyperparameters,
    winograd_min_fan: int | None,
    params: Params,
    batch: Batch,
    key: Array,
) -> tuple[Scalar, Sums]:
    if config.objective is not None:
        encode = unchecked_encode_pairs_fn(config, winograd_min_fan=winograd_min_fan)
        encodings = encode(params, batch.in0, batch.in1, key)
        sums = sum_records(*measure_in_batch(config.objective, *encodings, batch), batch)
    else:
        logits = unchecked_logits_fn(config, winograd_min_fan=winograd_min_fan)
        outputs = logits(params, batch.in0, batch.in1, key)
        sums = sum_batch(config, outputs, batch)
    return sums.loss / sums.weight, sums


@partial(jax.jit, static_argnums=(0, 1))
def _evaluate(
    config: Hyperparameters, placement: Placement, params: Params, batch: Batch, rows: RowsByTable
) -> Sums:
    with placement.use():
        small = take_tables(placement, params, rows)
        outputs = unchecked_logits_fn(config)({**params, **small}, batch.in0, batch.in1)
    return sum_batch(config, outputs, batch)


def take_tables(placement: Placement, params: Params, rows: RowsByTable) -> Params:
    """Of token tables these rows, on every device."""
    small = {name: {"weight": _take_rows(params[name]["weight"], at)} for name, at in rows.items()}
    replicated: Params = jax.lax.with_sharding_constraint(small, placement.replicated)
    return replicated
