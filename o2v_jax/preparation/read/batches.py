"""Record batches of Arrow, from Parquet files and from tables in memory, as rows."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from o2v_jax.data.arrow import is_list_type, is_text_type, spell_cells
from o2v_jax.data.ragged import offsets_of
from o2v_jax.errors import InputError
from o2v_jax.preparation.rows import (
    ROWS_PER_CHUNK,
    Cells,
    NoRowsError,
    Rows,
    find_positions,
    to_index,
)

_VIEWS = pa.types.is_list_view, pa.types.is_large_list_view


def read_batches(
    batches: Iterable[pa.RecordBatch],
    names: Sequence[str],
    positions: Sequence[int],
    *,
    source: str,
    places: str,
    first: int,
) -> Iterator[Rows]:
    """Columns of batches: lists as they are, anything else as text, null as "".

    Args:
        batches: each holds at least the columns at `positions`.
        names: the columns of the whole table.
        positions: the wanted ones of these.
        source: what the table is called in messages.
        places: the template of where a row is; see `Rows`.
        first: the number of the first row.

    Raises:
        InputError: a column holds neither text nor numbers nor lists.
    """
    for batch in batches:
        columns = tuple(
            _read_cells(source, names[at], _find_column(batch, names, at)) for at in positions
        )
        yield Rows(places, to_index(range(first, first + len(batch))), columns)
        first += len(batch)


def read_arrow_table(table: pa.Table, wanted: Sequence[str], source: str) -> Iterator[Rows]:
    """The wanted columns of a table in memory; its rows are numbered from 0.

    Args:
        table: any.
        wanted: columns, by name.
        source: what the table is called in messages.

    Raises:
        NoRowsError: the table has none.
        InputError: the table lacks a column, or one holds neither text nor numbers nor lists.
    """
    names = table.schema.names
    positions = find_positions(source, names, wanted, header=True)
    if not table.num_rows:
        raise NoRowsError(f"{source}: holds no rows")
    batches = table.combine_chunks().to_batches(ROWS_PER_CHUNK)
    places = f"{source}: row {{}}"
    yield from read_batches(batches, names, positions, source=source, places=places, first=0)


def _find_column(batch: pa.RecordBatch, names: Sequence[str], column: int) -> Cells:
    """Of columns with one name, all of which are in the batch, the right one."""
    earlier = names[:column].count(names[column])
    return batch.column(batch.schema.get_all_field_indices(names[column])[earlier])


def _read_cells(source: str, name: str, column: Cells) -> Cells:
    if isinstance(column, pa.ExtensionArray):
        return _read_cells(source, name, column.storage)
    if is_list_type(column.type):
        return _plain_lists(column)
    if pa.types.is_dictionary(column.type):
        return _read_cells(source, name, column.dictionary_decode())
    try:
        return spell_cells(column).fill_null("")
    except pa.ArrowException as error:
        wanted = "text, numbers or lists of ids are wanted"
        message = f"{source}: column {name!r} of type {column.type} cannot be read: {wanted}"
        raise InputError(message) from error


def _plain_lists(column: Cells) -> Cells:
    """Lists of one of the layouts that lists have in memory, of values without a dictionary."""
    kind = column.type.value_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if is_text_type(kind):
        kind = pa.string()
    plain = pa.list_(kind)
    if any(is_view(column.type) for is_view in _VIEWS):  # whose cast leaves them in any order
        lengths = pc.list_value_length(column).fill_null(0).to_numpy()
        offsets = pa.array(offsets_of(lengths.astype(np.int64)), pa.int32())
        values, missing = column.flatten().cast(kind), column.is_null()
        return pa.ListArray.from_arrays(offsets, values, mask=missing)
    return column if column.type == plain else column.cast(plain)
