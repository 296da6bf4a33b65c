"""Records in slices whose objects fit the tables, and the batches that these are encoded in."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
import numpy.typing as npt
from jaxlib import xla_client

from o2v_jax.data.ragged import Ragged, distinct_rows
from o2v_jax.scoring.buckets import Shapes, Step, plan

# It is not documented. Without it lanes take turns, which is slower.
_in_stream: Callable[[int], AbstractContextManager[Any]]
_in_stream = getattr(xla_client, "execution_stream_id", nullcontext)
_streams = count(1)
# What it costs to begin in another lane than the first, in calls: threads wait for each other. With
# two lanes from the start, 8 to 16 pairs of the demonstration model took a tenth of a ms longer.
START = 3.0


@dataclass
class Lane:
    """A table of encodings on the device and a stream of the programs that write into it.

    Each of these programs takes the table over and returns the one that replaces it.
    """

    encodings: jax.Array
    stream: int = field(default_factory=lambda: -next(_streams))  # those of threads are positive

    def running(self) -> AbstractContextManager[Any]:
        """Programs that are started in the block run in this lane."""
        return _in_stream(self.stream)


class Place(NamedTuple):
    """Where a batch of encodings goes: a lane and the first row of its table."""

    lane: int
    row: int


def shared_out(
    costs: Sequence[float], batches: Sequence[int], lanes: int, capacity: int
) -> list[Place] | None:
    """A place for each batch, so that all lanes have about as much to do.

    Each goes to the lane that has least to do and room for it: best if the costly ones come first.
    Of little to do the first lane has all.

    Args:
        costs: of the batches, in calls.
        batches: rows that each takes.
        lanes: how many there are.
        capacity: rows of a lane's table.

    Returns:
        The places; None if they do not fit.
    """
    load, rows, places = [0.0] + [START] * (lanes - 1), [0] * lanes, []
    for cost, batch in zip(costs, batches, strict=True):
        fitting = [lane for lane in range(lanes) if rows[lane] + batch <= capacity]
        if not fitting:
            return None
        lane = min(fitting, key=load.__getitem__)
        places.append(Place(lane, rows[lane]))
        load[lane] += cost
        rows[lane] += batch
    return places


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
