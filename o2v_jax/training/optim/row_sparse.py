"""row_sparse: a step reads and writes only those rows of a token table that its batch names.

The batch's distinct ids are gathered into a small table, the ids renamed to its rows, and the
network differentiated with respect to that. Untouched rows and their optimizer moments stay as they
are ("lazy" updates), so a step costs what its tokens cost, whatever the vocabulary. A row's weights
and moments stand side by side, so that memory, which is slow at random places, is asked once a row.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from jaxtyping import Array, Float

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import table_name
from o2v_jax.training.optim.optimizers import stepped

# Rows that a CPU updates at a time. They stay in its cache from being read until they are written;
# all at once took twice as long. 256 to 1,024 of them are equally fast.
TOGETHER = 512

Ids: TypeAlias = npt.NDArray[np.int32]
Rows: TypeAlias = Mapping[str, Ids | Array]  # for each sparse table, the rows that a batch touches


class Table(NamedTuple):
    """A token table and what its optimizer remembers.

    `rows` holds for each token its weights and then every moment, `rest` what is not kept by row:
    adam's count of steps.
    """

    rows: Float[Array, "vocab kinds dim"]
    rest: list[Array]

    @property
    def weight(self) -> Float[Array, "vocab dim"]:
        """The token vectors alone."""
        return self.rows[:, 0]


def sparse_tables(config: Hyperparameters) -> tuple[str, ...]:
    """Names of the tables that are trained row by row: all or none."""
    if config.token_embedding_storage_type != "row_sparse":
        return ()
    return tuple(sorted({table_name(config, 0), table_name(config, 1)}))


def packed(rule: optax.GradientTransformation, weight: Array) -> Table:
    """The table of these weights, and the memory that the rule begins with."""
    memory = jax.tree.leaves(rule.init({"weight": weight}))
    beside = [leaf for leaf in memory if leaf.shape == weight.shape]
    rest = [leaf for leaf in memory if leaf.shape != weight.shape]
    return Table(jnp.stack([weight, *beside], axis=1), rest)


def stepped_rows(
    rule: optax.GradientTransformation,
    name: str,
    table: Table,
    gradient: Mapping[str, Array],
    rows: Ids | Array,
    frozen: Mapping[str, Array],
) -> Table:
    """The table of that name after one step of the rule on these rows.

    `gradient` and `frozen` are theirs. Indices outside the table stand for no row.
    """

    def some(table: Table, start: Array | int, count: int) -> Table:
        few = partial(jax.lax.dynamic_slice_in_dim, start_index=start, slice_size=count)
        at, slope, still = jax.tree.map(few, (rows, gradient, frozen))
        return put_back(table, updated(rule, name, taken(table, at), slope, still), at)

    def turn(number: Array, done: Array) -> Array:
        return some(Table(done, table.rest), number * TOGETHER, TOGETHER).rows

    if jax.default_backend() != "cpu":
        return some(table, 0, len(rows))
    turns, left = divmod(len(rows), TOGETHER)
    done = jax.lax.fori_loop(0, turns, turn, table.rows) if turns else table.rows
    return some(Table(done, table.rest), turns * TOGETHER, left)


def taken(table: Table, rows: Ids | Array) -> Table:
    """The table with only the given rows; any row for those outside it."""
    at = table.rows.at[rows]
    return Table(at.get(mode="clip", unique_indices=True, indices_are_sorted=True), table.rest)


def vectors(table: Table, rows: Ids | Array) -> Array:
    """The weights of the given rows, of any row for those outside the table."""
    at = table.rows.at[rows, 0]
    return at.get(mode="clip", unique_indices=True, indices_are_sorted=True)


def updated(
    rule: optax.GradientTransformation,
    name: str,
    table: Table,
    gradient: Mapping[str, Array],
    frozen: Mapping[str, Array],
) -> Table:
    """The table of that name after one step of the rule; see `stepped`."""
    params = {name: {"weight": table.weight}}
    shapes = jax.eval_shape(rule.init, params)
    beside, rest = iter(jnp.unstack(table.rows, axis=1)[1:]), iter(table.rest)
    memory = jax.tree.map(
        lambda leaf: next(beside if leaf.shape == table.weight.shape else rest), shapes
    )
    params, memory = stepped(rule, params, {name: gradient}, memory, frozen)
    new, leaves = params[name]["weight"], jax.tree.leaves(memory)
    return Table(
        jnp.stack([new, *(leaf for leaf in leaves if leaf.shape == new.shape)], axis=1),
        [leaf for leaf in leaves if leaf.shape != new.shape],
    )


def put_back(table: Table, small: Table, rows: Ids | Array) -> Table:
    """`table` with these rows in their places."""
    if jax.default_backend() != "cpu":
        return Table(_written(table.rows.at[rows], small.rows), small.rest)
    whole = table.rows
    for kind, part in enumerate(jnp.unstack(small.rows, axis=1)):  # a CPU is slow to join the kinds
        whole = _written(whole.at[rows, kind], part)
    return Table(whole, small.rest)


def _written(places: Any, values: Array) -> Array:
    whole: Array = places.set(values, mode="drop", unique_indices=True, indices_are_sorted=True)
    return whole
