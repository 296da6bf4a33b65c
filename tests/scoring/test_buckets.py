import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2v_jax.scoring.buckets import (
    CALL_COST,
    make_batch_sizes,
    make_bucket_table,
    make_geometric_boundaries,
    plan,
)

LENGTHS = st.lists(st.integers(0, 82), max_size=300).map(lambda rows: np.array(rows, np.int64))
STEPS = st.sampled_from([0.0, 12.0, 400.0])


@given(LENGTHS, st.integers(1, 10), st.sampled_from([1, 100, 8192]), STEPS)
def test_plan_covers_each_row_once_in_a_shape_of_the_table(lengths, buckets, budget, step_cost):
    table = make_bucket_table(make_geometric_boundaries(82, buckets), budget, step_cost=step_cost)
    steps = plan(lengths, table)
    rows = np.concatenate([np.zeros(0, np.int64), *(step.rows for step in steps)])
    assert sorted(rows) == list(range(len(lengths)))
    for step in steps:
        assert (step.batch, step.length) in table.shapes()
        assert 0 < len(step.rows) <= step.batch
        assert lengths[step.rows].max() <= step.length


@given(LENGTHS.filter(len), st.integers(1, 10))
def test_plan_puts_the_longest_row_of_a_step_in_its_own_bucket(lengths, buckets):
    boundaries = make_geometric_boundaries(82, buckets)
    for step in plan(lengths, make_bucket_table(boundaries, 8192)):
        assert step.length == min(
            bucket for bucket in boundaries if bucket >= lengths[step.rows].max()
        )


def test_plan_fills_free_places_with_shorter_rows():
    steps = plan(np.array([2, 9, 1, 9, 9]), make_bucket_table((4, 10), 40))
    assert [(step.batch, step.length) for step in steps] == [(4, 10), (1, 4)]
    assert [sorted(step.rows) for step in steps] == [[0, 1, 3, 4], [2]]


@settings(max_examples=40)
@given(st.integers(1, 60), st.sampled_from([1, 5, 82, 700]))
def test_plan_of_equal_rows_is_the_cheapest(rows, length):
    boundaries = make_batch_sizes(length, 8192)
    steps = plan(np.full(rows, length), make_bucket_table((length,), 8192))
    cheapest = [0]
    for n in range(1, rows + 1):
        cheapest.append(min(CALL_COST + b * length + cheapest[max(0, n - b)] for b in boundaries))
    assert price(steps) == cheapest[rows]


@settings(max_examples=60)
@given(LENGTHS.filter(len), st.sampled_from([CALL_COST, 2000.0, 8.0, 0.0]), STEPS)
def test_plan_costs_little_more_than_the_cheapest_of_all(lengths, call, step):
    """The cheapest is found by trying every batch size at every row, from the longest down."""
    table = make_bucket_table(make_geometric_boundaries(82, 5), 512, call, step)
    buckets = np.searchsorted(table.lengths, np.sort(lengths)[::-1])
    cheapest = [0.0]  # of the last n rows
    for n, bucket in enumerate(buckets[::-1], 1):
        boundaries, length = table.batch_sizes[bucket], table.lengths[bucket]
        cheapest.append(
            min(call + (step + b) * length + cheapest[max(0, n - b)] for b in boundaries)
        )
    assert cheapest[-1] <= price(plan(lengths, table), call, step) <= 1.2 * cheapest[-1]


def test_rows_join_a_longer_bucket_where_calls_cost_more_than_padding():
    lengths = np.arange(1, 41)
    table = make_bucket_table((10, 20, 30, 40), 4000)
    assert len(plan(lengths, table)) > 3
    assert [(s.batch, s.length) for s in plan(lengths, replace(table, call_cost=10_000.0))] == [
        (64, 40)
    ]


@pytest.mark.parametrize(("step", "expected"), [(0.0, [(64, 20), (64, 10)]), (100.0, [(128, 20)])])
def test_rows_join_a_longer_bucket_where_steps_cost_more_than_padding(step, expected):
    """A recurrence takes its steps one after the other, so it had better take them once."""
    table = replace(
        make_bucket_table((10, 20), 4096), batch_sizes=((64, 128), (64, 128)), step_cost=step
    )
    steps = plan(np.repeat([10, 20], 64), table)
    assert [(one.batch, one.length) for one in steps] == expected


@pytest.mark.parametrize("step", [12.0, 400.0])
def test_dearer_steps_make_fewer_and_larger_batches(step):
    lengths = np.random.default_rng(0).integers(1, 83, 200)
    table = make_bucket_table(make_geometric_boundaries(82, 10), 8192)
    cheap, dear = (plan(lengths, one) for one in (table, replace(table, step_cost=step)))
    assert len(dear) < len(cheap)
    assert np.mean([one.batch for one in dear]) > np.mean([one.batch for one in cheap])


def test_cost_of_a_call():
    assert make_bucket_table((10,), 100).cost(8, 10) == CALL_COST + 80
    assert make_bucket_table((10,), 100, 5.0, 3.0).cost(8, 10) == 5 + (3 + 8) * 10


def test_plan_of_no_rows():
    assert plan(np.zeros(0, np.int64), make_bucket_table((4, 10), 40)) == []


def test_plan_of_empty_rows_takes_the_first_bucket():
    steps = plan(np.zeros(3, np.int64), make_bucket_table((4, 10), 40))
    assert {step.length for step in steps} == {4}


def test_plan_of_many_rows_is_quick():
    lengths = np.random.default_rng(0).integers(0, 83, 100_000)
    table = make_bucket_table(make_geometric_boundaries(82, 10), 8192)
    assert seconds(lambda: plan(lengths, table)) < 1.0


def test_pairs_are_all_shapes_and_the_small_ones_come_first():
    pairs = make_bucket_table((2, 5), 20).shapes()
    assert sorted(pairs) == [(1, 2), (1, 5), (2, 2), (4, 5), (8, 2)]
    assert [batch * length for batch, length in pairs] == [2, 4, 5, 16, 20]


def price(steps, call=CALL_COST, step=0.0):
    return sum(call + (step + one.batch) * one.length for one in steps)


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
