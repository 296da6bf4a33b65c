"""What programs do with tables of encodings that stay on the device.

Between the two parts of the network a GPU's encodings would cross to the host and back, which takes
longer than all else. Here they are written where they are made and read where they lie.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
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
        return jax.lax.dynamic_update_slice(table, encodings, (first, 0)), first + len(encodings)

    return encode_into


def of_tables(head: Callable[..., Any]) -> Callable[..., Any]:
    """A function (parameters, table, table, rows) of `head` and the rows named in two tables."""

    def compare(params: Any, table0: Table, table1: Table, rows: Int[Array, "2 batch"]) -> Any:
        return head(params, rows_of(table0, rows[0]), rows_of(table1, rows[1]))

    return compare


def rows_of(table: Table, rows: Int[Array, "batch"]) -> Float[Array, "batch enc_dim"]:
    """The encodings in these rows, all of which the table has."""
    found: Array = table.at[rows].get(mode="promise_in_bounds")
    return found
