"""Lanes: what a device encodes at the same time, and where the encodings lie.

JAX's CPU client runs the programs that a thread starts one after the other, and few of them keep
all cores busy. Those of different streams run at the same time. (The server has its programs run
in the threads that start them, so there it is threads that overlap.)
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import jax
from jaxlib import xla_client

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
