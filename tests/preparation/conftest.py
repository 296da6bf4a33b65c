"""Reading a table as the preparation does."""

import pytest

from o2v_jax.preparation import Layout
from o2v_jax.preparation.read.tables import read_table
from o2v_jax.preparation.skipped_rows import SkippedRows


def _read(path, *wanted, form=None, header=False, problems=None, delimiter=None):
    layout = Layout(form, header, delimiter)
    chunks = read_table(path, wanted, layout, problems or SkippedRows())
    return [
        (chunk.places.format(number), *cells)
        for chunk in chunks
        for number, *cells in zip(
            chunk.numbers, *(column.to_pylist() for column in chunk.columns), strict=True
        )
    ]


@pytest.fixture(scope="session")
def read():
    """Reads the wanted columns of a table: its rows as tuples of the place and the cells."""
    return _read
