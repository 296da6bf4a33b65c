"""row_sparse: a step reads and writes only those rows of a token table that its batch names.

The batch's distinct ids are gathered into a small table, the ids renamed to its rows, and the
network differentiated with respect to that. Untouched rows and their optimizer moments stay as they
are ("lazy" updates), so a step costs what its tokens cost, whatever the vocabulary. A row's weights
and moments stand side by side, so that memory, which is slow at random places, is asked once a row.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from jaxtyping import Array, Float

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import table_name
from o2v_jax.training.optimizers import stepped

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
    at = table.rows.at[rows]
    whole = at.set(small.rows, mode="drop", unique_indices=True, indices_are_sorted=True)
    return Table(whole, small.rest)
