import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2v_jax import Ragged
from o2v_jax.data.deduplicate import find_unique_rows

ROWS = st.lists(st.lists(st.integers(0, 3), max_size=3), max_size=12)


def lists(ragged):
    return [ragged.row(r).tolist() for r in range(len(ragged))]


@given(ROWS)
def test_every_row_once_and_back(rows):
    first, kind = find_unique_rows(Ragged.of(rows))
    kinds = [rows[at] for at in first]
    assert sorted(kinds) == [list(row) for row in sorted(set(map(tuple, rows)))]
    assert [kinds[at] for at in kind] == rows
    assert all(rows.index(row) == at for row, at in zip(kinds, first, strict=True))


def test_order_zeros_and_length_tell_rows_apart():
    rows = [[1, 2], [2, 1], [1, 2, 0], [0, 1, 2], [1], [], [0], [0, 0]]
    assert len(find_unique_rows(Ragged.of(rows))[0]) == len(rows)


def test_ids_at_the_ends_of_int32():
    rows = [[2**31 - 1], [-(2**31)], [-1], [2**31 - 1]]
    first, kind = find_unique_rows(Ragged.of(rows))
    assert len(first) == 3
    assert kind[0] == kind[3]


def test_many_rows():
    ids = np.random.default_rng(0).integers(0, 50, 40_000).astype(np.int32)
    ragged = Ragged(ids, np.arange(0, 40_001, 2))
    first, kind = find_unique_rows(ragged)
    assert len(first) == len(set(map(tuple, ids.reshape(-1, 2).tolist())))
    assert lists(ragged.take(first[kind])) == lists(ragged)


@pytest.mark.parametrize("repeated", [0, 30])
def test_a_collision_of_hashes_costs_no_right_answer(repeated):
    """Rows with the same hash count as all different, or as they are."""
    rows = [[number] for number in range(70)] + [[5, number] for number in range(repeated)] * 2
    ragged = Ragged.of(rows)
    first, kind = find_unique_rows(ragged, lambda ragged: ragged.lengths.astype(np.uint64))
    assert [rows[first[at]] for at in kind] == rows
