"""Cutting the records of a request into chunks."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2v_jax.data.deduplicate import deduplicate_rows
from o2v_jax.data.ragged import Ragged
from o2v_jax.server.queue import Queue, ScoringFuture, ScoringTask, cut_into_chunks

ROWS = st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=40)


def cut(sides, size):
    return cut_into_chunks([deduplicate_rows(side) for side in sides], size)


def cost(sides, rows):
    """Tokens of the distinct objects of some records, and one a record, counted one by one."""
    objects = [{tuple(side.row(row)) for row in rows} for side in sides]
    return len(rows) + sum(len(one) for side in objects for one in side)


@given(ROWS, st.booleans(), st.integers(1, 60))
def test_every_record_is_in_one_chunk_and_chunks_keep_to_their_size(rows, paired, size):
    sides = (Ragged.of(rows), Ragged.of(rows[::-1]))[: 1 + paired]
    found = cut(sides, size)
    numbers = [chunk.rows for chunk in found]
    assert sorted(np.concatenate(numbers)) == list(range(len(rows)))
    assert [chunk.tokens for chunk in found] == [cost(sides, part) for part in numbers]
    assert all(c.tokens <= size or len(part) == 1 for c, part in zip(found, numbers, strict=True))


@given(ROWS, st.integers(2, 60))
def test_no_chunk_could_take_the_next_record_too(rows, size):
    sides = (Ragged.of(rows),)
    found = [chunk.rows for chunk in cut(sides, size)]
    for one, following in pairwise(found):
        assert cost(sides, [*one, following[0]]) > size


def test_the_longest_records_come_first():
    lengths = np.random.default_rng(0).integers(0, 9, 1000)
    side = Ragged.of([list(range(n)) for n in lengths])
    order = np.concatenate([chunk.rows for chunk in cut((side,), 20)])
    assert (np.diff(lengths[order]) <= 0).all()


@pytest.mark.parametrize("turned", [False, True])
def test_one_against_many_is_encoded_once_a_chunk(turned):
    rng = np.random.default_rng(0)
    user, items = [[7] * 50] * 1000, rng.integers(0, 9, (1000, 4)).tolist()
    sides = [Ragged.of(user), Ragged.of(items)]
    found = cut(sides[::-1] if turned else sides, 1000)
    assert len(found) <= 1 + 1000 * 5 / (1000 - 50 - 5)


def test_all_against_all_costs_what_its_objects_do():
    in0 = [[i, i, i] for i in range(100) for _ in range(100)]
    in1 = [[j, j] for _ in range(100) for j in range(100)]
    (chunk,) = cut((Ragged.of(in0), Ragged.of(in1)), 10_500)
    assert chunk.tokens == 10_000 + 300 + 200


def test_results_of_chunks_come_together_in_record_order():
    rows = [[1] * (i % 7) for i in range(100)]
    future = ScoringFuture(ScoringTask.IN0, (Ragged.of(rows),), 10)
    assert future.waiting_records == 100
    assert future.start()
    while future.has_more:
        assert not future.done()
        chunk = future.take()
        future.receive(chunk, np.float32([[len(rows[row])] for row in chunk.rows]))
    assert future.waiting_records == 0
    assert future.result(0)[:, 0].tolist() == [i % 7 for i in range(100)]
    assert future.submitted <= future.started <= future.finished


def test_late_results_do_not_replace_an_error():
    calls = []
    future = ScoringFuture(ScoringTask.IN0, (Ragged.of([[1]]),), 10)
    future.add_done_callback(calls.append)
    future.start()
    chunk = future.take()
    future.fail(KeyError())
    future.receive(chunk, np.float32([[1]]))
    assert calls == [future]
    with pytest.raises(KeyError):
        future.result(0)


def test_results_are_not_replaced_by_a_late_error():
    future = ScoringFuture(ScoringTask.IN0, (Ragged.of([[1]]),), 10)
    future.start()
    future.receive(future.take(), np.float32([[1]]))
    future.fail(KeyError())
    assert future.result(0) == [[1]]


def test_what_is_cancelled_does_not_fail():
    future = ScoringFuture(ScoringTask.IN0, (Ragged.of([[1]]),), 10)
    assert future.cancel()
    future.fail(KeyError())
    assert future.cancelled()
    assert not future.start()


def test_the_queue_passes_over_what_was_cancelled():
    queue = Queue(10, chunks_per_batch=16)
    futures = [ScoringFuture(ScoringTask.IN0, (Ragged.of([[1] * n]),), 10) for n in range(1, 5)]
    for future in futures:
        queue.append(future)
    assert queue.tokens == 2 + 3 + 4 + 5
    assert futures[1].cancel()
    assert queue.remove(futures[1])
    assert not queue.remove(futures[1])
    assert queue.tokens == 2 + 4 + 5
    assert futures[2].cancel()  # and the queue is not told
    ((task, entries),) = queue.take_batch().items()
    assert (task, [future for future, _ in entries]) == (ScoringTask.IN0, [futures[0], futures[3]])
    assert (queue.tokens, queue.waiting) == (0, (0, 0))
    assert queue.take_batch() == {}
