"""Records in slices whose objects fit the tables, and the batches that these are encoded in."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.data.ragged import Ragged
from o2v_jax.scoring.buckets import Shapes, Step, plan
from o2v_jax.scoring.lanes import Place, shared_out
from o2v_jax.unique import distinct_rows

RowNumbers: TypeAlias = npt.NDArray[np.int64]


class Room(NamedTuple):
    """How many lanes there are, and rows in the table of each."""

    lanes: int
    capacity: int


class Objects(NamedTuple):
    """What a slice of records needs of a side: distinct rows, which is whose, and their batches."""

    side: int
    rows: Ragged
    kind: RowNumbers
    steps: list[Step]


class Batch(NamedTuple):
    """Objects that are encoded together, and where to."""

    objects: Objects
    step: Step
    place: Place


class Slice(NamedTuple):
    """Records that follow each other.

    Attributes:
        start: number of the first one.
        sides: the objects of each side.
        batches: of all sides, the costly ones first.
    """

    start: int
    sides: list[Objects]
    batches: list[Batch]


def slices(
    records: slice, given: Sequence[tuple[int, Ragged]], shapes: Sequence[Shapes], room: Room
) -> Iterator[Slice]:
    """Slices of these records, which fit the tables.

    Args:
        records: from which to which.
        given: sides, by number, with their rows.
        shapes: of both sides.
        room: has at least a row for each side of a record, whatever batch it is in.
    """
    most = max(1, room.lanes * room.capacity // (2 * len(given)))
    for first in range(records.start, records.stop, most):
        last = min(records.stop, first + most)
        sides = [_objects(side, rows.rows(first, last), shapes[side]) for side, rows in given]
        batches = _batches(sides, shapes, room)
        if batches is not None:
            yield Slice(first, sides, batches)
        else:  # much padding
            middle = (first + last) // 2
            yield from slices(slice(first, middle), given, shapes, room)
            yield from slices(slice(middle, last), given, shapes, room)


def _objects(side: int, given: Ragged, shapes: Shapes) -> Objects:
    rows, kind = distinct_rows(given)
    return Objects(side, rows, kind, plan(rows.lengths, shapes))


def _batches(sides: list[Objects], shapes: Sequence[Shapes], room: Room) -> list[Batch] | None:
    """The batches of all sides; None if they do not fit the tables."""
    works = [(objects, step) for objects in sides for step in objects.steps]
    # in calls, which cost the same whatever the encoder
    costs = [
        shapes[objects.side].cost(step.batch, step.length) / shapes[objects.side].call
        for objects, step in works
    ]
    order = sorted(range(len(works)), key=lambda k: -costs[k])
    batches = [works[k][1].batch for k in order]
    places = shared_out([costs[k] for k in order], batches, room.lanes, room.capacity)
    if places is None:
        return None
    return [Batch(*works[k], place) for k, place in zip(order, places, strict=True)]
