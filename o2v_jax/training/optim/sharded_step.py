"""One step of training and of evaluation on several devices.

Each device differentiates the mean loss of the whole batch with respect to the parameters, over its
own rows; the sum over the devices is the gradient that one device would have found. It travels once
a step, all parameters together, and of row_sparse and sharded tables only the rows that the batch
names.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import Params, init, random_key, unchecked_logits_fn
from o2v_jax.training.data.batches import Batch
from o2v_jax.training.data.pretrained import Pretrained, frozen_rows, with_pretrained
from o2v_jax.training.optim.batch_vocabulary import renamed
from o2v_jax.training.optim.optimizers import optimizer, stepped
from o2v_jax.training.optim.row_sparse import (
    Rows,
    Table,
    packed,
    sparse_tables,
    stepped_rows,
    vectors,
)
from o2v_jax.training.optim.sharded_rng import key_of_rows
from o2v_jax.training.optim.sharding import (
    AXIS,
    BY_ROWS,
    REPLICATED,
    Spread,
    gathered,
    scattered,
    stepped_own_rows,
)
from o2v_jax.training.optim.step import Frozen, Scalar, State, Sums, batch_sums, still_rows


def start(
    config: Hyperparameters, spread: Spread, seed: int, pretrained: Sequence[Pretrained] = ()
) -> State:
    """The state that `step.start` returns, on the devices; none makes a sharded table whole."""
    build = partial(_built, config, spread, seed, pretrained)
    given = [(item.ids, item.vectors) for item in pretrained]
    shardings = spread.shardings(config, jax.eval_shape(build, given))
    state: State = jax.jit(build, out_shardings=shardings)(given)
    return state


def _built(
    config: Hyperparameters,
    spread: Spread,
    seed: int,
    pretrained: Sequence[Pretrained],
    given: Sequence[tuple[Any, Any]],
) -> State:
    items = zip(pretrained, given, strict=True)
    placed = [replace(item, ids=ids, vectors=vectors) for item, (ids, vectors) in items]
    params = with_pretrained(init(config, seed), placed)
    if spread.shard_tables:
        params = {name: _filled(spread, name, part) for name, part in params.items()}
    rule, sparse = optimizer(config), sparse_tables(config)
    tables = {name: packed(rule, params.pop(name)["weight"]) for name in sparse}
    return State(params, rule.init(params), random_key((seed + 1) % 2**63), tables)


def _filled(spread: Spread, name: str, part: Params) -> Params:
    """A token table with as many rows as the devices can share evenly."""
    if not name.startswith("embed_"):
        return part
    rows = len(part["weight"])
    return {"weight": jnp.pad(part["weight"], ((0, spread.filled(rows) - rows), (0, 0)))}


def train_step(
    config: Hyperparameters, spread: Spread, pretrained: Sequence[Pretrained] = ()
) -> Callable[[State, Batch], tuple[State, Sums]]:
    """A function (state, batch) -> (next state, sums over the batch); the state is donated.

    The batch is the whole one, on the host. The sums are on this host's first device.
    """
    frozen = spread.put_whole(_frozen(config, spread, pretrained))

    def train(state: State, batch: Batch) -> tuple[State, Sums]:
        named = bool(sparse_tables(config)) or spread.shard_tables
        shared, rows = _shared(config, spread, batch, named=named)
        state, sums = _step(config, spread, state, shared, rows, frozen)
        return state, spread.local(sums)

    return train


def evaluation_step(config: Hyperparameters, spread: Spread) -> Callable[[Params, Batch], Sums]:
    """A function (params, batch) -> sums over the batch, without dropout; as for `train_step`."""

    def evaluate(params: Params, batch: Batch) -> Sums:
        shared, rows = _shared(config, spread, batch, named=spread.shard_tables)
        sums: Sums = spread.local(_evaluated(config, spread, params, shared, rows))
        return sums

    return evaluate


def _frozen(
    config: Hyperparameters, spread: Spread, pretrained: Sequence[Pretrained]
) -> dict[str, Any]:
    """Which rows of a table are frozen, those that fill it up included."""
    frozen = frozen_rows(config, pretrained)
    if not spread.shard_tables:
        return dict(frozen)
    return {
        name: np.pad(still, (0, spread.filled(len(still)) - len(still)))
        for name, still in frozen.items()
    }


def _shared(
    config: Hyperparameters, spread: Spread, batch: Batch, *, named: bool
) -> tuple[Batch, Rows]:
    """The batch on the devices; if wanted, its ids as positions among the rows it names."""
    rows: Rows = {}
    if named:
        rows, in0, in1 = renamed(config, batch.in0, batch.in1)
        batch = batch._replace(in0=in0, in1=in1)
    return spread.put_rows(batch), spread.put_whole(rows)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _step(
    config: Hyperparameters,
    spread: Spread,
    state: State,
    batch: Batch,
    rows: dict[str, Array],
    frozen: Frozen,
) -> tuple[State, Sums]:
    rule, (key, dropout_key) = optimizer(config), jax.random.split(state.key)
    params = {**state.dense, **_small(spread, state, rows)}
    gradients, sums = _gradients(config, spread, params, batch, dropout_key)
    tables = {
        name: _row_step(spread, rule, name, table, gradients[name], rows[name], frozen)
        for name, table in state.tables.items()
    }
    of_dense = {
        name: _whole_gradient(spread, gradients[name], rows.get(name), part)
        for name, part in state.dense.items()
    }
    dense, memory = stepped(rule, state.dense, of_dense, state.optimizer, frozen)
    state = State(dense, memory, key, tables)
    return jax.lax.with_sharding_constraint(state, spread.shardings(config, state)), sums


@partial(jax.jit, static_argnums=(0, 1))
def _evaluated(
    config: Hyperparameters,
    spread: Spread,
    params: Params,
    batch: Batch,
    rows: dict[str, Array],
) -> Sums:
    small = {
        name: {"weight": gathered(spread, params[name]["weight"], at)} for name, at in rows.items()
    }

    def own(params: Params, batch: Batch) -> Sums:
        outputs = unchecked_logits_fn(config)(params, batch.in0, batch.in1)
        sums: Sums = jax.lax.psum(batch_sums(config, outputs, batch), AXIS)
        return sums

    sums: Sums = spread.mapped(own, (REPLICATED, BY_ROWS), REPLICATED)({**params, **small}, batch)
    return sums


def _gradients(
    config: Hyperparameters, spread: Spread, params: Params, batch: Batch, key: Array
) -> tuple[Params, Sums]:
    """The gradient of the batch's mean loss, and its sums, on every device."""

    def own(params: Params, batch: Batch, key: Array) -> tuple[Params, Sums]:
        key = key_of_rows(key, jax.lax.axis_index(AXIS) * len(batch.weights))
        # as copies of this device: else JAX would sum a tied table's gradient once a side
        params = jax.lax.pcast(params, AXIS, to="varying")
        total = jax.lax.psum(batch.weights.sum(), AXIS)
        differentiate = jax.grad(partial(_loss, config), has_aux=True)
        both: tuple[Params, Sums] = jax.lax.psum(differentiate(params, batch, key, total), AXIS)
        return both

    specs = (REPLICATED, BY_ROWS, REPLICATED)
    both: tuple[Params, Sums] = spread.mapped(own, specs, REPLICATED)(params, batch, key)
    return both


def _loss(
    config: Hyperparameters, params: Params, batch: Batch, key: Array, total: Scalar
) -> tuple[Scalar, Sums]:
    """This device's part of the mean loss of a batch of that total weight."""
    sums = batch_sums(config, unchecked_logits_fn(config)(params, batch.in0, batch.in1, key), batch)
    return sums.loss / total, sums


def _small(spread: Spread, state: State, rows: dict[str, Array]) -> Params:
    """The vectors of the rows that a batch names."""

    def of(name: str, at: Array) -> Array:
        if not spread.shard_tables:
            return vectors(state.tables[name], at)
        sparse = name in state.tables
        table = state.tables[name].rows if sparse else state.dense[name]["weight"]
        return gathered(spread, table, at)

    return {name: {"weight": of(name, at)} for name, at in rows.items()}


def _whole_gradient(spread: Spread, gradient: Params, rows: Array | None, part: Params) -> Params:
    """The gradient of a sharded table from that of its named rows; others are whole already."""
    if rows is None:
        return gradient
    return {"weight": scattered(spread, gradient["weight"], rows, len(part["weight"]))}


def _row_step(
    spread: Spread,
    rule: Any,
    name: str,
    table: Table,
    gradient: Params,
    rows: Array,
    frozen: Frozen,
) -> Table:
    """A row_sparse table after a step."""
    still = still_rows(frozen, name, rows)
    if spread.shard_tables:
        return stepped_own_rows(spread, rule, name, table, gradient, rows, still)
    return stepped_rows(rule, name, table, gradient, rows, still)
