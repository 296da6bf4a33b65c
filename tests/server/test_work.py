"""Cutting the records of a request into chunks."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2v_jax.data.ragged import Ragged
from o2v_jax.server.work import Kind, Work, chunks

ROWS = st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=40)


def rows_of(chunk, count):
    return np.arange(count) if chunk.rows is None else chunk.rows


def cost(sides, rows):
    """Tokens of the distinct objects of some records, and one a record, counted one by one."""
    objects = [{tuple(side.row(row)) for row in rows} for side in sides]
    return len(rows) + sum(len(one) for side in objects for one in side)


@given(ROWS, st.booleans(), st.integers(1, 60))
def test_every_record_is_in_one_chunk_and_chunks_keep_to_their_share(rows, paired, share):
    sides = (Ragged.of(rows), Ragged.of(rows[::-1]))[: 1 + paired]
    found = chunks(sides, share)
    numbers = [rows_of(chunk, len(rows)) for chunk in found]
    assert sorted(np.concatenate(numbers)) == list(range(len(rows)))
    if found[0].rows is not None:
        assert [chunk.tokens for chunk in found] == [cost(sides, part) for part in numbers]
    assert all(c.tokens <= share or len(part) == 1 for c, part in zip(found, numbers, strict=True))


@given(ROWS, st.integers(2, 60))
def test_no_chunk_could_take_the_next_record_too(rows, share):
    sides = (Ragged.of(rows),)
    found = [rows_of(chunk, len(rows)) for chunk in chunks(sides, share)]
    for one, following in pairwise(found):
        assert cost(sides, [*one, following[0]]) > share


def test_the_longest_records_come_first():
    lengths = np.random.default_rng(0).integers(0, 9, 1000)
    side = Ragged.of([list(range(n)) for n in lengths])
    order = np.concatenate([chunk.rows for chunk in chunks((side,), 20)])
    assert (np.diff(lengths[order]) <= 0).all()


@pytest.mark.parametrize("turned", [False, True])
def test_one_against_many_is_encoded_once_a_chunk(turned):
    rng = np.random.default_rng(0)
    user, items = [[7] * 50] * 1000, rng.integers(0, 9, (1000, 4)).tolist()
    sides = [Ragged.of(user), Ragged.of(items)]
    found = chunks(tuple(sides[::-1] if turned else sides), 1000)
    assert len(found) <= 1 + 1000 * 5 / (1000 - 50 - 5)


def test_all_against_all_costs_what_its_objects_do():
    in0 = [[i, i, i] for i in range(100) for _ in range(100)]
    in1 = [[j, j] for _ in range(100) for j in range(100)]
    (chunk,) = chunks((Ragged.of(in0), Ragged.of(in1)), 10_500)
    assert chunk.tokens == 10_000 + 300 + 200


def test_results_of_chunks_come_together_in_record_order():
    rows = [[1] * (i % 7) for i in range(100)]
    work = Work(Kind.IN0, (Ragged.of(rows),), share=10)
    assert work.waiting == 100
    while work.has_more:
        assert not work.resolved
        chunk = work.take()
        work.receive(chunk, np.float32([[len(rows[row])] for row in chunk.rows]))
    assert (work.wait(), work.waiting) == (True, 0)
    assert work.values[:, 0].tolist() == [i % 7 for i in range(100)]
    assert work.submitted <= work.started <= work.finished


def test_late_results_do_not_resolve_what_has_failed():
    told = []
    work = Work(Kind.IN0, (Ragged.of([[1]]),), share=10, resolved=lambda: told.append(1))
    chunk = work.take()
    work.fail(KeyError())
    work.receive(chunk, np.float32([[1]]))
    assert (told, work.values) == ([1], None)


def test_results_are_not_replaced_by_a_late_error():
    work = Work(Kind.IN0, (Ragged.of([[1]]),), share=10)
    work.receive(work.take(), np.float32([[1]]))
    work.fail(KeyError())
    assert work.error is None
