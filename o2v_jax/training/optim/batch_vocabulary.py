"""The distinct token ids of a batch, and the batch's ids as positions among them.

On the host for a CPU, which sorts and marks faster so; on an accelerator inside the step, which has
finished by the time a host has found them.
"""

from collections.abc import Mapping
from typing import TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from o2v_jax.array_types import Ids
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import table_name

MARKED = 100  # ids of a vocabulary that are marked in less time than one of a batch is sorted in

RowsByTable: TypeAlias = Mapping[str, Ids | Array]  # for each table, the rows that a batch touches
FlatIds: TypeAlias = Int[Array, "ids"]
PaddedIds: TypeAlias = Int[Array, "batch length"]


def remap_ids(
    config: Hyperparameters, in0: Ids, in1: Ids, sizes_an_octave: int = 4, marked: int = MARKED
) -> tuple[dict[str, Ids], Ids, Ids]:
    """The rows that a batch touches, and its ids as positions among them.

    A step is compiled for every number of rows that occurs, so rows are padded to a few sizes.

    Args:
        config: says which tables there are, and how large they are.
        in0: int32 `[batch, length]`.
        in1: likewise.
        sizes_an_octave: numbers of rows between a power of two and the next.
        marked: a vocabulary of at most so many times the batch's ids is marked, not sorted.

    Returns:
        For each table int32 `[rows]`, ascending from row 0 (padding, so that position 0 still
        means padding); beyond the batch's own rows stand indices outside the table. Then in0 and
        in1, their ids replaced by positions.
    """
    names = table_name(config, 0), table_name(config, 1)
    sizes = config.vocab_sizes
    if names[0] == names[1]:
        rows, positions = _find_distinct(
            np.concatenate([in0.ravel(), in1.ravel()]), sizes[0], sizes_an_octave, marked
        )
        first, second = np.split(positions, [in0.size])
        tables = {names[0]: rows}
    else:
        rows, first = _find_distinct(in0.ravel(), sizes[0], sizes_an_octave, marked)
        rows1, second = _find_distinct(in1.ravel(), sizes[1], sizes_an_octave, marked)
        tables = {names[0]: rows, names[1]: rows1}
    return tables, first.reshape(in0.shape), second.reshape(in1.shape)


def remap_ids_in_step(
    config: Hyperparameters, in0: PaddedIds | Ids, in1: PaddedIds | Ids
) -> tuple[dict[str, Array], Array, Array]:
    """`remap_ids` as a part of a compiled step, with room for as many rows as there are ids."""
    names = table_name(config, 0), table_name(config, 1)
    sizes = config.vocab_sizes
    if names[0] == names[1]:
        rows, positions = _mark_in_step(jnp.append(in0, in1), sizes[0])
        tables, first, second = {names[0]: rows}, positions[: in0.size], positions[in0.size :]
    else:
        rows, first = _mark_in_step(jnp.ravel(in0), sizes[0])
        rows1, second = _mark_in_step(jnp.ravel(in1), sizes[1])
        tables = {names[0]: rows, names[1]: rows1}
    return tables, first.reshape(in0.shape), second.reshape(in1.shape)


def _mark_in_step(ids: FlatIds, vocab_size: int) -> tuple[FlatIds, FlatIds]:
    """Distinct ids with 0, ascending, then indices outside the table; for each id its position."""
    seen = jnp.zeros(vocab_size, jnp.int32).at[ids].set(1, mode="promise_in_bounds").at[0].set(1)
    position = jnp.cumsum(seen) - 1
    size = min(len(ids) + 1, vocab_size)
    beyond = vocab_size + jnp.arange(size, dtype=jnp.int32)
    every = jnp.arange(vocab_size, dtype=jnp.int32)
    rows = beyond.at[jnp.where(seen == 1, position, size)].set(every, mode="drop")
    return rows, position.at[ids].get(mode="promise_in_bounds")


def _find_distinct(ids: Ids, vocab_size: int, sizes_an_octave: int, marked: int) -> tuple[Ids, Ids]:
    """The distinct ids of a flat array, 0 first and padded to a size; for each id its position."""
    if vocab_size <= marked * len(ids):
        found, position = _mark_distinct(ids, vocab_size)
    else:
        found, position = _sort_distinct(ids)
    size = round_up_rows(len(found), min(len(ids) + 1, vocab_size), sizes_an_octave)
    beyond = np.arange(vocab_size, vocab_size + size - len(found))
    return np.concatenate([found, beyond]).astype(np.int32), position


def _sort_distinct(ids: Ids) -> tuple[Ids, Ids]:
    """The distinct ids with 0, ascending, and for each id its position."""
    found, position = np.unique(np.append(ids, np.int32(0)), return_inverse=True)
    return found, position[:-1].astype(np.int32)


def _mark_distinct(ids: Ids, vocab_size: int) -> tuple[Ids, Ids]:
    """As `_sort_distinct`, without sorting; its time grows with the vocabulary, but slowly."""
    seen = np.zeros(vocab_size, bool)
    seen[0], seen[ids] = True, True
    found = np.flatnonzero(seen).astype(np.int32)
    position = np.empty(vocab_size, np.int32)
    position[found] = np.arange(len(found))
    return found, position[ids]


def round_up_rows(rows: int, most: int, sizes_an_octave: int = 4) -> int:
    """The size `rows` are padded to: so many sizes between a power of two and the next.

    >>> [round_up_rows(rows, 1000) for rows in (1, 9, 300, 990)]
    [1, 10, 320, 1000]
    """
    step = max(1, (1 << (rows - 1).bit_length()) // (2 * sizes_an_octave))
    return min(most, -(-rows // step) * step)
