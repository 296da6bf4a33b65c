"""Rows of a token table that is sharded over devices: each device reads and writes its own.

Only what a batch names travels: the vectors of its distinct rows to all devices, and the gradient
of these rows. `rows` is int32 `[n]`, the same on every device, as `renaming.renamed` gives it.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from o2v_jax.training.optim.row_sparse import Table, updated
from o2v_jax.training.optim.sharding import AXIS, BY_ROWS, REPLICATED, Spread


def gathered(spread: Spread, table: Array, rows: Array) -> Array:
    """The vectors of these rows, on every device; zeros for those outside the table.

    `table` holds vectors, or as `row_sparse.Table.rows` vectors and moments.
    """

    def own(shard: Array, rows: Array) -> Array:
        at = _places(shard, rows)
        place = (at, 0) if shard.ndim > 2 else at  # noqa: PLR2004
        taken: Array = jax.lax.psum(shard.at[place].get(mode="fill", fill_value=0), AXIS)
        return taken

    found: Array = spread.mapped(own, (BY_ROWS, REPLICATED), REPLICATED)(table, rows)
    return found


def scattered(spread: Spread, small: Array, rows: Array, size: int) -> Array:
    """A sharded table of `size` rows that holds these, and zeros elsewhere."""

    def own(small: Array, rows: Array) -> Array:
        shard = jnp.zeros((size // spread.devices, *small.shape[1:]), small.dtype)
        return shard.at[_places(shard, rows)].set(small, mode="drop")

    table: Array = spread.mapped(own, (REPLICATED, REPLICATED), BY_ROWS)(small, rows)
    return table


def stepped_own_rows(
    spread: Spread,
    rule: optax.GradientTransformation,
    name: str,
    table: Table,
    gradient: Mapping[str, Array],
    rows: Array,
    frozen: Mapping[str, Array],
) -> Table:
    """The table after one step of the rule on these rows; `gradient` and `frozen` are theirs."""

    def own(
        table: Table, gradient: Mapping[str, Array], rows: Array, frozen: Mapping[str, Array]
    ) -> Table:
        at = _places(table.rows, rows)
        small = Table(table.rows.at[at].get(mode="fill", fill_value=0), table.rest)
        small = updated(rule, name, small, gradient, frozen)
        return Table(table.rows.at[at].set(small.rows, mode="drop"), small.rest)

    specs = Table(BY_ROWS, REPLICATED)  # type: ignore[arg-type]
    whole: Table = spread.mapped(own, (specs, REPLICATED, REPLICATED, REPLICATED), specs)(
        table, gradient, rows, frozen
    )
    return whole


def _places(shard: Array, rows: Array) -> Array:
    """Where these rows of the table stand in this device's shard; beyond it if they do not."""
    at = rows - jax.lax.axis_index(AXIS) * shard.shape[0]
    return jnp.where((at >= 0) & (at < shard.shape[0]), at, shard.shape[0])
