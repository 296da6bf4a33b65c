"""Slices of records whose objects fit the tables, and the batches that these are encoded in."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from o2v_jax.array_types import Index
from o2v_jax.data.deduplicate import DistinctRows, deduplicate_rows
from o2v_jax.data.ragged import Ragged
from o2v_jax.scoring.buckets import BucketTable, PaddedBatch, plan


class Capacity(NamedTuple):
    """How many streams there are, and rows in the table of each."""

    streams: int
    rows: int


class Slot(NamedTuple):
    """Where a batch of encodings goes: a stream and the first row of its table."""

    stream: int
    row: int


class Objects(NamedTuple):
    """What a slice of records needs of a side.

    Attributes:
        side: its number.
        rows: without repetition.
        inverse: int64 `[records]`, for each record its row in `rows`.
        batches: of the rows.
    """

    side: int
    rows: Ragged
    inverse: Index
    batches: list[PaddedBatch]


class EncoderBatch(NamedTuple):
    """Objects that are encoded in one call, and where to."""

    objects: Objects
    batch: PaddedBatch
    slot: Slot


class Slice(NamedTuple):
    """Records that follow each other.

    Attributes:
        start: number of the first one.
        sides: the objects of each side.
        batches: of all sides, the costly ones first.
    """

    start: int
    sides: list[Objects]
    batches: list[EncoderBatch]


def plan_slices(
    records: slice,
    given: Sequence[tuple[int, Ragged | DistinctRows]],
    tables: Sequence[BucketTable],
    capacity: Capacity,
    start_cost: float,
) -> Iterator[Slice]:
    """Slices of these records, which fit the tables of encodings.

    Args:
        records: the range of records.
        given: sides, by number, with their rows.
        tables: padded shapes of both sides.
        capacity: at least a row for each side of a record, whatever batch it is in.
        start_cost: what it costs to use another stream than the first, in calls.
    """
    most = max(1, capacity.streams * capacity.rows // (2 * len(given)))
    for first in range(records.start, records.stop, most):
        last = min(records.stop, first + most)
        sides = [_plan_side(side, rows, slice(first, last), tables[side]) for side, rows in given]
        batches = _place(sides, tables, capacity, start_cost)
        if batches is not None:
            yield Slice(first, sides, batches)
        else:  # much padding
            middle = (first + last) // 2
            for half in slice(first, middle), slice(middle, last):
                yield from plan_slices(half, given, tables, capacity, start_cost)


def _plan_side(
    side: int, given: Ragged | DistinctRows, records: slice, table: BucketTable
) -> Objects:
    if isinstance(given, Ragged):
        distinct = deduplicate_rows(given.rows(records.start, records.stop))
    elif (records.start, records.stop) == (0, len(given)):
        distinct = given
    else:
        distinct = given.take(np.arange(records.start, records.stop))
    rows = distinct.rows
    return Objects(side, rows, distinct.inverse, plan(rows.lengths, table))


def _place(
    sides: list[Objects], tables: Sequence[BucketTable], capacity: Capacity, start_cost: float
) -> list[EncoderBatch] | None:
    """The batches of all sides, each with its slot; None if they do not fit the tables."""
    pairs = [(objects, batch) for objects in sides for batch in objects.batches]
    costs = [_count_calls(tables[objects.side], batch) for objects, batch in pairs]
    order = sorted(range(len(pairs)), key=lambda k: -costs[k])
    sizes = [pairs[k][1].batch for k in order]
    slots = assign_slots([costs[k] for k in order], sizes, capacity, start_cost)
    if slots is None:
        return None
    return [EncoderBatch(*pairs[k], slot) for k, slot in zip(order, slots, strict=True)]


def _count_calls(table: BucketTable, batch: PaddedBatch) -> float:
    """The cost of a batch in calls, which cost the same whatever the encoder."""
    return table.cost(batch.batch, batch.length) / table.call_cost


def assign_slots(
    costs: Sequence[float], sizes: Sequence[int], capacity: Capacity, start_cost: float
) -> list[Slot] | None:
    """A slot for each batch, so that all streams have about as much to do.

    Each goes to the stream that has least to do and room for it: best if the costly ones come
    first. If there is little to do, the first stream has it all.

    Args:
        costs: of the batches, in calls.
        sizes: rows that each takes.
        capacity: of the streams.
        start_cost: what it costs to use another stream than the first, in calls.

    Returns:
        The slots; None if the batches do not fit.
    """
    load = [0.0] + [start_cost] * (capacity.streams - 1)
    used = [0] * capacity.streams
    slots: list[Slot] = []
    for cost, size in zip(costs, sizes, strict=True):
        fitting = [k for k in range(capacity.streams) if used[k] + size <= capacity.rows]
        if not fitting:
            return None
        stream = min(fitting, key=load.__getitem__)
        slots.append(Slot(stream, used[stream]))
        load[stream] += cost
        used[stream] += size
    return slots
