import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2v_jax import InputError, Ragged
from o2v_jax.data.ragged import offsets_of

ROWS = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=6), max_size=8)


def lists(ragged):
    return [ragged.row(r).tolist() for r in range(len(ragged))]


@given(ROWS)
def test_rows_come_back(rows):
    ragged = Ragged.of(rows)
    assert lists(ragged) == rows
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    assert (ragged.ids.dtype, ragged.offsets.dtype) == (np.int32, np.int64)


@given(ROWS.filter(bool), st.data())
def test_take_gives_the_rows_in_the_given_order(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9))
    taken = Ragged.of(rows).take(np.array(chosen, np.int64))
    assert lists(taken) == [rows[at] for at in chosen]


@given(ROWS.filter(bool), st.integers(0, 7), st.data())
def test_take_may_cut(rows, longest, data):
    chosen = data.draw(st.lists(st.integers(-len(rows), len(rows) - 1), max_size=9))
    taken = Ragged.of(rows).take(np.array(chosen, np.int64), longest)
    assert lists(taken) == [rows[at][:longest] for at in chosen]


def test_take_costs_what_it_takes():
    ragged = Ragged(np.ones(2**20, np.int32), np.arange(2**20 + 1))
    tracemalloc.start()
    taken = ragged.take(np.array([5, 2**20 - 1]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lists(taken) == [[1], [1]]
    assert peak < 2**14


@pytest.mark.parametrize("at", [1, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20 - 1])
def test_offsets_that_fall_anywhere_are_found(at):
    offsets = np.arange(3 * 2**20 + 1)
    offsets[at] = offsets[at + 1] + 1
    with pytest.raises(InputError, match="offsets must rise"):
        Ragged(np.ones(3 * 2**20, np.int32), offsets)


@given(ROWS, st.integers(0, 7))
def test_cut_keeps_the_beginning_of_each_row(rows, longest):
    assert lists(Ragged.of(rows).cut(longest)) == [row[:longest] for row in rows]


def test_cut_returns_the_same_object_if_no_row_is_longer():
    ragged = Ragged.of([[1, 2], [3]])
    assert ragged.cut(2) is ragged
    assert ragged.cut(1) is not ragged


@given(ROWS, st.integers(0, 2), st.integers(0, 2))
def test_padded_fills_up_on_the_right_and_below(rows, more_rows, longer):
    longest = max(map(len, rows), default=0) + longer
    batch = len(rows) + more_rows
    padded = Ragged.of(rows).pad(batch, longest)
    expected = [row + [0] * (longest - len(row)) for row in rows] + [[0] * longest] * more_rows
    assert (padded.shape, padded.dtype) == ((batch, longest), np.int32)
    assert padded.tolist() == expected


def test_of_leaves_ragged_arrays_as_they_are():
    ragged = Ragged.of([[1], [2, 3]])
    assert Ragged.of(ragged) is ragged


@pytest.mark.parametrize(
    "rows",
    [
        [np.array([1, 2]), np.array([3])],
        (row for row in ([1, 2], [3])),
        ((1, 2), (3,)),
        [range(1, 3), [np.int64(3)]],
        [np.array([1, 2], np.uint8), np.array([3], np.int64)],
    ],
)
def test_of_takes_any_sequences_of_integers(rows):
    assert lists(Ragged.of(rows)) == [[1, 2], [3]]


def test_of_takes_a_matrix():
    assert lists(Ragged.of(np.array([[1, 2], [3, 0]]))) == [[1, 2], [3, 0]]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[1.5]], "integers"),
        ([[1, 2.0]], "integers"),
        ([["a"]], "integers"),
        (["ab"], "integers"),
        ([[None]], "integers"),
        ([[True]], "integers"),
        ([[[1]]], "integers"),
        ([[2**31]], "int32"),
        ([[-(2**31) - 1]], "int32"),
        ([[2**70]], "integers"),
    ],
)
def test_of_refuses_what_is_no_list_of_int32(rows, said):
    with pytest.raises(InputError, match=said):
        Ragged.of(rows)


@pytest.mark.parametrize(
    "rows", [[1, 2], [[1], 2], [None], [[[1], [2, 3]]], np.array([1, 2]), 5, None]
)
def test_of_refuses_what_is_no_list_of_lists(rows):
    with pytest.raises(InputError):
        Ragged.of(rows)


def test_offsets_of_no_rows():
    assert offsets_of(np.zeros(0, np.int64)).tolist() == [0]


@pytest.mark.parametrize("offsets", [[], [1, 3], [0, 2], [0, 2, 1, 3], [0, 4]])
def test_offsets_must_divide_the_ids(offsets):
    with pytest.raises(InputError, match="offsets must rise from 0 to 3"):
        Ragged(np.array([1, 2, 3], np.int32), np.array(offsets, np.int64))
