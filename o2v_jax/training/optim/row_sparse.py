"""row_sparse: a step reads and writes only those rows of a token table that its batch names.

The batch's distinct ids are gathered into a small table, the ids remapped to its rows, and the
network differentiated with respect to that. Untouched rows and their optimizer moments stay as they
are ("lazy" updates), so a step costs what its tokens cost, whatever the vocabulary. A row's weights
and moments stand side by side: memory is slow at random places, and is so accessed once a row.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from o2v_jax.array_types import Ids
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import BATCH_AXIS, table_name
from o2v_jax.training.optim.optimizers import apply_update
from o2v_jax.training.optim.placement import Placement

# Rows that a CPU updates at a time. They stay in its cache from being read until they are written;
# all at once took twice as long. 256 to 1,024 of them are equally fast.
CHUNK = 512


class SparseTable(NamedTuple):
    """A token table and its optimizer state.

    `rows` holds for each token its weights and then every moment, `rest` what is not kept by row:
    adam's count of steps.
    """

    rows: Float[Array, "vocab kinds dim"]
    rest: list[Array]

    @property
    def weight(self) -> Float[Array, "vocab dim"]:
        """The token vectors alone."""
        return self.rows[:, 0]


def list_sparse_tables(config: Hyperparameters) -> tuple[str, ...]:
    """Names of the tables that are trained row by row: all or none."""
    if config.token_embedding_storage_type != "row_sparse":
        return ()
    return tuple(sorted({table_name(config, 0), table_name(config, 1)}))


def pack_table(optimizer: optax.GradientTransformation, weight: Array) -> SparseTable:
    """The table of these weights, with the optimizer's initial state."""
    opt_state = jax.tree.leaves(optimizer.init({"weight": weight}))
    moments = [leaf for leaf in opt_state if leaf.shape == weight.shape]
    rest = [leaf for leaf in opt_state if leaf.shape != weight.shape]
    return SparseTable(jnp.stack([weight, *moments], axis=1), rest)


def apply_row_updates(
    optimizer: optax.GradientTransformation,
    name: str,
    table: SparseTable,
    gradient: Mapping[str, Array],
    rows: Ids | Array,
    frozen: Mapping[str, Array],
    *,
    in_chunks: bool,
) -> SparseTable:
    """Returns the table of that name after one update of these rows.

    `gradient` and `frozen` are those of the rows. Indices outside the table stand for no row.
    `in_chunks` is for a CPU, and a table that is not sharded.
    """

    def update_chunk(table: SparseTable, start: Array | int, size: int) -> SparseTable:
        cut = partial(jax.lax.dynamic_slice_in_dim, start_index=start, slice_size=size)
        at, slope, is_frozen = jax.tree.map(cut, (rows, gradient, frozen))
        small = update(optimizer, name, take(table, at), slope, is_frozen)
        return put_back(table, small, at, by_kind=in_chunks)

    def update_numbered(number: Array, done: Array) -> Array:
        return update_chunk(SparseTable(done, table.rest), number * CHUNK, CHUNK).rows

    if not in_chunks:
        return update_chunk(table, 0, len(rows))
    chunks, left = divmod(len(rows), CHUNK)
    done = jax.lax.fori_loop(0, chunks, update_numbered, table.rows) if chunks else table.rows
    return update_chunk(SparseTable(done, table.rest), chunks * CHUNK, left)


def apply_sharded_row_updates(
    placement: Placement,
    optimizer: optax.GradientTransformation,
    name: str,
    table: SparseTable,
    gradient: Mapping[str, Array],
    rows: Ids | Array,
    frozen: Mapping[str, Array],
) -> SparseTable:
    """`apply_row_updates` for a table that is sharded by rows: each device updates its own.

    XLA alone would send the moments of all rows to every device: that doubles what travels, and
    a step on two devices of one CPU took 1.2 times as long.
    """

    def update_own(
        table: SparseTable, gradient: Mapping[str, Array], rows: Array, frozen: Mapping[str, Array]
    ) -> SparseTable:
        share = len(table.rows)
        at = rows - jax.lax.axis_index(BATCH_AXIS) * share
        at = jnp.where((at >= 0) & (at < share), at, share)  # beyond the table, so dropped
        small = SparseTable(table.rows.at[at].get(mode="fill", fill_value=0), table.rest)
        small = update(optimizer, name, small, gradient, frozen)
        whole = table.rows
        for kind, part in enumerate(jnp.unstack(small.rows, axis=1)):  # as in `put_back`
            whole = whole.at[at, kind].set(part, mode="drop")
        return SparseTable(whole, small.rest)

    of_table, others = SparseTable(P(BATCH_AXIS), P()), (P(), P(), P())  # type: ignore[arg-type]
    whole: SparseTable = jax.shard_map(
        update_own, mesh=placement.mesh, in_specs=(of_table, *others), out_specs=of_table
    )(table, gradient, jnp.asarray(rows), frozen)
    return whole


def take(table: SparseTable, rows: Ids | Array) -> SparseTable:
    """The table with only the given rows; any row for those outside it."""
    at = table.rows.at[rows]
    return SparseTable(
        at.get(mode="clip", unique_indices=True, indices_are_sorted=True), table.rest
    )


def take_vectors(table: SparseTable, rows: Ids | Array) -> Array:
    """The weights of the given rows; of any row for those outside the table."""
    at = table.rows.at[rows, 0]
    return at.get(mode="clip", unique_indices=True, indices_are_sorted=True)


def update(
    optimizer: optax.GradientTransformation,
    name: str,
    table: SparseTable,
    gradient: Mapping[str, Array],
    frozen: Mapping[str, Array],
) -> SparseTable:
    """Returns the table of that name after one update of all its rows; see `apply_update`."""
    params = {name: {"weight": table.weight}}
    shapes = jax.eval_shape(optimizer.init, params)
    moments, rest = iter(jnp.unstack(table.rows, axis=1)[1:]), iter(table.rest)
    opt_state = jax.tree.map(
        lambda leaf: next(moments if leaf.shape == table.weight.shape else rest), shapes
    )
    params, opt_state = apply_update(optimizer, params, {name: gradient}, opt_state, frozen)
    new, leaves = params[name]["weight"], jax.tree.leaves(opt_state)
    return SparseTable(
        jnp.stack([new, *(leaf for leaf in leaves if leaf.shape == new.shape)], axis=1),
        [leaf for leaf in leaves if leaf.shape != new.shape],
    )


def put_back(
    table: SparseTable, small: SparseTable, rows: Ids | Array, *, by_kind: bool
) -> SparseTable:
    """Returns `table` with these rows written; `by_kind` is faster on a CPU."""
    if not by_kind:
        return SparseTable(_set(table.rows.at[rows], small.rows), small.rest)
    whole = table.rows
    for kind, part in enumerate(jnp.unstack(small.rows, axis=1)):
        whole = _set(whole.at[rows, kind], part)
    return SparseTable(whole, small.rest)


def _set(places: Any, values: Array) -> Array:
    whole: Array = places.set(values, mode="drop", unique_indices=True, indices_are_sorted=True)
    return whole
