"""row_sparse: a step reads and writes only those rows of a token table that its batch names.

The batch's distinct ids are gathered into a small table, the ids renamed to its rows, and the
network differentiated with respect to that. Untouched rows and their optimizer moments stay as they
are ("lazy" updates), so a step costs what its tokens cost, whatever the vocabulary.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np
import numpy.typing as npt
from jaxtyping import Array

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import Params, table_name

Ids: TypeAlias = npt.NDArray[np.int32]
Rows: TypeAlias = Mapping[str, Ids]  # for each sparse table, the rows that a batch touches


def renamed(config: Hyperparameters, in0: Ids, in1: Ids) -> tuple[dict[str, Ids], Ids, Ids]:
    """The rows a batch touches, and its ids as positions among them.

    Returns:
        For each table int32 `[rows]`, ascending from row 0 (padding, so that position 0 still
        means padding); beyond the batch's own rows stand indices outside the table. Then in0 and
        in1, their ids replaced by positions.
    """
    names = table_name(config, 0), table_name(config, 1)
    sizes = config.encoder(0).vocab_size, config.encoder(1).vocab_size
    if names[0] == names[1]:
        rows, places = _distinct(np.concatenate([in0.ravel(), in1.ravel()]), sizes[0])
        first, second = np.split(places, [in0.size])
        tables = {names[0]: rows}
    else:
        rows, first = _distinct(in0.ravel(), sizes[0])
        rows1, second = _distinct(in1.ravel(), sizes[1])
        tables = {names[0]: rows, names[1]: rows1}
    return tables, first.reshape(in0.shape), second.reshape(in1.shape)


def gathered(tree: Any, rows: Rows) -> Any:
    """Parameters, or an optimizer's state, with only the given rows of the sparse tables."""

    def small(params: Params) -> Params:
        tables = {name: {"weight": _gather(params[name]["weight"], rows[name])} for name in rows}
        return {**params, **tables}

    return _map_params(small, rows, tree)


def scattered(tree: Any, small: Any, rows: Rows) -> Any:
    """`small`, with the rows of its sparse tables back in their places in those of `tree`."""

    def whole(params: Params, part: Params) -> Params:
        tables = {
            name: {"weight": _scatter(params[name]["weight"], part[name]["weight"], rows[name])}
            for name in rows
        }
        return {**part, **tables}

    return _map_params(whole, rows, tree, small)


def _map_params(function: Callable[..., Params], rows: Rows, *trees: Any) -> Any:
    """Applies `function` to what is keyed like the parameters, and keeps the last tree's rest."""

    def keyed(node: Any) -> bool:
        return isinstance(node, dict) and node.keys() >= rows.keys()

    def apply(*nodes: Any) -> Any:
        return function(*nodes) if keyed(nodes[0]) else nodes[-1]

    return jax.tree.map(apply, *trees, is_leaf=keyed) if rows else trees[-1]


def _gather(table: Array, rows: Ids) -> Array:
    """Rows of a table; any row for those outside it."""
    at = table.at[rows]
    return at.get(mode="clip", unique_indices=True, indices_are_sorted=True)


def _scatter(table: Array, small: Array, rows: Ids) -> Array:
    at = table.at[rows]
    return at.set(small, mode="drop", unique_indices=True, indices_are_sorted=True)


def _distinct(ids: Ids, vocab_size: int) -> tuple[Ids, Ids]:
    """The distinct ids of a flat array, 0 first and padded to a size; for each id its position."""
    found, position = np.unique(np.append(ids, np.int32(0)), return_inverse=True)
    size = row_count(len(found), min(len(ids) + 1, vocab_size))
    beyond = np.arange(vocab_size, vocab_size + size - len(found))
    return np.concatenate([found, beyond]).astype(np.int32), position[:-1].astype(np.int32)


def row_count(rows: int, most: int) -> int:
    """The size `rows` are padded to: four sizes between a power of two and the next.

    >>> [row_count(rows, 1000) for rows in (1, 9, 300, 990)]
    [1, 10, 320, 1000]
    """
    step = 1 << max(0, (rows - 1).bit_length() - 3)
    return min(most, -(-rows // step) * step)
