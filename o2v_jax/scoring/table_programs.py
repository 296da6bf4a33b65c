"""What programs do with tables of encodings that stay on the device.

Between the two parts of the network a GPU's encodings would cross to the host and back, which takes
longer than all else. Here they are written where they are made and read where they lie.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Table: TypeAlias = Float[Array, "rows enc_dim"]
RowNumber: TypeAlias = Int[Array, ""]


def into_table(encode: Callable[..., Any]) -> Callable[..., tuple[Table, RowNumber]]:
    """A function (table, first row, *arguments) that writes `encode(*arguments)` from that row on.

    Returns the table and the row after. The caller sees to it that the table has so many: the last
    rows would be overwritten instead.
    """

    def encode_into(table: Table, first: RowNumber, *arguments: Any) -> tuple[Table, RowNumber]:
        encodings = encode(*arguments)
        written = jax.lax.dynamic_update_slice_in_dim(table, encodings, first, axis=0)
        return written, first + len(encodings)

    return encode_into


def of_tables(head: Callable[..., Any]) -> Callable[..., Any]:
    """A function (parameters, tables, rows) of `head` and the rows named for either side."""

    def compare(params: Any, tables: Sequence[Table], rows: Int[Array, "2 batch"]) -> Any:
        return head(params, rows_of(tables, rows[0]), rows_of(tables, rows[1]))

    return compare


def rows_of(tables: Sequence[Table], rows: Int[Array, "batch"]) -> Float[Array, "batch enc_dim"]:
    """The encodings in these rows, which are counted through tables of equal size."""
    capacity, found = len(tables[0]), _taken(tables[0], rows)
    for number, table in enumerate(tables[1:], start=1):
        here = (rows >= number * capacity)[:, None]
        found = jnp.where(here, _taken(table, rows - number * capacity), found)
    return found


def _taken(table: Table, rows: Int[Array, "batch"]) -> Float[Array, "batch enc_dim"]:
    """Rows of a table, and any where it has none of this number."""
    found: Array = table.at[rows].get(mode="clip")
    return found
