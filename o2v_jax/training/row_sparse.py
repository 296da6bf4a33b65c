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

MARKED = 100  # ids of a vocabulary that are marked in less time than one of a batch is sorted in

Ids: TypeAlias = npt.NDArray[np.int32]
Rows: TypeAlias = Mapping[str, Ids]  # for each sparse table, the rows that a batch touches


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


def renamed(
    config: Hyperparameters, in0: Ids, in1: Ids, sizes_an_octave: int = 4
) -> tuple[dict[str, Ids], Ids, Ids]:
    """The rows a batch touches, and its ids as positions among them.

    A step is compiled for every number of rows that occurs, of so many between a power of two and
    the next.

    Returns:
        For each table int32 `[rows]`, ascending from row 0 (padding, so that position 0 still
        means padding); beyond the batch's own rows stand indices outside the table. Then in0 and
        in1, their ids replaced by positions.
    """
    names = table_name(config, 0), table_name(config, 1)
    sizes = config.encoder(0).vocab_size, config.encoder(1).vocab_size
    if names[0] == names[1]:
        rows, places = _distinct(
            np.concatenate([in0.ravel(), in1.ravel()]), sizes[0], sizes_an_octave
        )
        first, second = np.split(places, [in0.size])
        tables = {names[0]: rows}
    else:
        rows, first = _distinct(in0.ravel(), sizes[0], sizes_an_octave)
        rows1, second = _distinct(in1.ravel(), sizes[1], sizes_an_octave)
        tables = {names[0]: rows, names[1]: rows1}
    return tables, first.reshape(in0.shape), second.reshape(in1.shape)


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


def _distinct(ids: Ids, vocab_size: int, sizes_an_octave: int) -> tuple[Ids, Ids]:
    """The distinct ids of a flat array, 0 first and padded to a size; for each id its position."""
    found, position = (_marked if vocab_size <= MARKED * len(ids) else _sorted)(ids, vocab_size)
    size = row_count(len(found), min(len(ids) + 1, vocab_size), sizes_an_octave)
    beyond = np.arange(vocab_size, vocab_size + size - len(found))
    return np.concatenate([found, beyond]).astype(np.int32), position


def _sorted(ids: Ids, _: int) -> tuple[Ids, Ids]:
    """The distinct ids with 0, ascending, and for each id its position."""
    found, position = np.unique(np.append(ids, np.int32(0)), return_inverse=True)
    return found, position[:-1].astype(np.int32)


def _marked(ids: Ids, vocab_size: int) -> tuple[Ids, Ids]:
    """The same without sorting, in time that also grows with the vocabulary, but slowly."""
    seen = np.zeros(vocab_size, bool)
    seen[0], seen[ids] = True, True
    found = np.flatnonzero(seen).astype(np.int32)
    position = np.empty(vocab_size, np.int32)
    position[found] = np.arange(len(found))
    return found, position[ids]


def row_count(rows: int, most: int, sizes_an_octave: int = 4) -> int:
    """The size `rows` are padded to: so many sizes between a power of two and the next.

    >>> [row_count(rows, 1000) for rows in (1, 9, 300, 990)]
    [1, 10, 320, 1000]
    """
    step = max(1, (1 << (rows - 1).bit_length()) // (2 * sizes_an_octave))
    return min(most, -(-rows // step) * step)
