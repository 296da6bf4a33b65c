"""The network in padded shapes: rows are planned into batches, and results undo the plan."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import TracebackType
from typing import Self, TypeAlias

import jax
import numpy as np
import numpy.typing as npt

from o2v_jax.data.ragged import Ragged, distinct_rows
from o2v_jax.scoring.buckets import Shapes, Step, plan
from o2v_jax.scoring.programs import Key, Program, ProgramTable
from o2v_jax.scoring.schedule import Lane, Objects, Room, Slice, slices
from o2v_jax.scoring.shapes import Layout, few_shape
from o2v_jax.scoring.weights import Parameters

Floats: TypeAlias = npt.NDArray[np.float32]
RowNumbers: TypeAlias = npt.NDArray[np.int64]

# Enough to keep a device busy; more would only hold more batches in memory.
STEPS_AHEAD = 8


class Fetched:
    """Puts rows, as they come to the host, where they belong in `out`; all when the block ends.

    The device works on the next results while one is fetched, and memory does not grow with their
    number.
    """

    def __init__(self, out: Floats) -> None:
        self._out = out
        self._started: deque[tuple[RowNumbers, jax.Array]] = deque()

    def __enter__(self) -> Self:
        return self

    def later(self, rows: RowNumbers, result: jax.Array) -> None:
        """Has these rows of `out` filled with the first ones of a result."""
        result.copy_to_host_async()
        self._started.append((rows, result))
        if len(self._started) > STEPS_AHEAD:
            self._fetch()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        while self._started and error is None:
            self._fetch()

    def _fetch(self) -> None:
        rows, result = self._started.popleft()
        # to the host first: a cut on the device would compile once per size
        self._out[rows] = np.asarray(result)[: len(rows)]


class Network:
    """Encodes and compares on the device, in those of a layout's shapes that are in use.

    Encodings stay there, in tables: ids go to the device and scores come back. Records are taken in
    slices whose objects fit the tables: while the device works on one, the host prepares the next.
    What repeats within a slice is encoded once. Few short pairs take one program instead, without
    tables. All rows are in the vocabulary.

    Attributes:
        shapes: in use; all of the layout at first.
        params: on the device.
        programs: by shape.
        useful_tokens: encoded so far.
        computed_tokens: the same with padding.
    """

    def __init__(self, layout: Layout, params: Parameters) -> None:
        self.shapes, self.params, self._towers = layout, params, layout.towers
        self.programs = ProgramTable([*layout.programs(), *layout.on_demand()], self._compile)
        self.useful_tokens = self.computed_tokens = 0
        largest = max(batch for shapes in layout.encode for batch, _ in shapes.pairs())
        # an object of each side fits, whatever batch it is in
        least = max(largest, -(-2 * largest // layout.lanes))
        capacity = max(least, layout.table_numbers // layout.lanes // params.enc_dim)
        self._room = Room(layout.lanes, capacity)
        self._free: list[Lane] = []
        self._counting = Lock()

    def score(self, in0: Ragged, in1: Ragged) -> Floats:
        """Scores of pairs, float32 `[pairs, outputs]`."""
        shape = few_shape((in0, in1), self.shapes.encode, self.shapes.few)
        if shape is not None:
            return self._score_few(in0, in1, *shape)
        out = np.empty((len(in0), self.params.outputs), np.float32)
        with self._fetched(out) as fetched:
            for start, tables, at in self._encoded(len(in0), [(0, in0), (1, in1)]):
                for step, rows in _by_row(at, self.shapes.head):
                    head = self.programs["head", step.batch, 1]
                    fetched.later(start + step.rows, head(self.params.head, tables, rows))
        return out

    def embed(self, side: int, rows: Ragged) -> Floats:
        """Encodings, float32 `[rows, enc_dim]`."""
        out = np.empty((len(rows), self.params.enc_dim), np.float32)
        with self._fetched(out) as fetched:
            for start, tables, at in self._encoded(len(rows), [(side, rows)]):
                for step, (places,) in _by_row(at, self.shapes.rows):
                    take = self.programs["rows", step.batch, 1]
                    fetched.later(start + step.rows, take(tables, places))
        return out

    def encode(self, side: int, rows: Ragged) -> tuple[Floats, RowNumbers]:
        """Encodings of the distinct rows, and for every row the number of its encoding."""
        distinct, kind = distinct_rows(rows)
        return self.embed(side, distinct), kind

    def compare(self, enc0: Floats, row0: RowNumbers, enc1: Floats, row1: RowNumbers) -> Floats:
        """Scores, float32 `[pairs, outputs]`, of pairs of rows of two arrays of encodings."""
        out = np.empty((len(row0), self.params.outputs), np.float32)
        with Fetched(out) as fetched:
            for step in plan(np.ones(len(row0), np.int64), self.shapes.head):
                one = _filled(enc0, row0[step.rows], step.batch)
                two = _filled(enc1, row1[step.rows], step.batch)
                head = self.programs["arrays", step.batch, 1]
                fetched.later(step.rows, head(self.params.head, one, two))
        return out

    def _score_few(self, in0: Ragged, in1: Ragged, batch: int, length: int) -> Floats:
        """Scores of few pairs, by one program of this shape."""
        score, (one, two) = self.programs["pairs", batch, length], map(self.params.tower, (0, 1))
        ids = in0.padded(batch, length), in1.padded(batch, length)
        self._count(len(in0.ids) + len(in1.ids), 2 * batch * length)
        return np.array(np.asarray(score(one, two, self.params.head, *ids))[: len(in0)])

    def _encoded(
        self, records: int, given: list[tuple[int, Ragged]]
    ) -> Iterator[tuple[int, tuple[jax.Array, ...], npt.NDArray[np.int32]]]:
        """Slices of the records: the first one's number, tables, and `_fill`'s rows of them.

        They are good until the next slice is asked for.
        """
        shapes = self.shapes.encode
        for one in slices(slice(0, records), given, shapes, self._room):
            with self._taken() as lanes:
                at = self._fill(lanes, one)
                yield one.start, tuple(lane.encodings for lane in lanes), at

    def _fill(self, lanes: list[Lane], given: Slice) -> npt.NDArray[np.int32]:
        """Encodes into the tables; returns for each side of every record its row of them."""
        places = {side.side: np.empty(len(side.rows), np.int32) for side in given.sides}
        next_rows = [self.params.first_row] * len(lanes)
        for objects, step, (number, row) in given.batches:
            at = number * self._room.capacity + row
            places[objects.side][step.rows] = np.arange(at, at + len(step.rows))
            next_rows[number] = self._encode(lanes[number], next_rows[number], objects, step)
        self._count(
            sum(len(side.rows.ids) for side in given.sides),
            sum(step.batch * step.length for _, step, _ in given.batches),
        )
        return np.stack([places[objects.side][objects.kind] for objects in given.sides])

    def _encode(self, lane: Lane, first: jax.Array, objects: Objects, step: Step) -> jax.Array:
        """Starts a program that writes into the lane from row `first` on; returns the row after."""
        ids = objects.rows.padded(step.batch, step.length, step.rows)
        encode = self.programs[self._towers[objects.side], step.batch, step.length]
        arguments = self.params.tower(objects.side)
        after: jax.Array
        with lane.running():
            lane.encodings, after = encode(lane.encodings, first, *arguments, ids)
        return after

    def _count(self, useful: int, computed: int) -> None:
        with self._counting:
            self.useful_tokens += useful
            self.computed_tokens += computed

    @contextmanager
    def _fetched(self, out: Floats) -> Iterator[Fetched]:
        """As `Fetched`; an error shows late, when tables that hold it may be free again."""
        try:
            with Fetched(out) as fetched:
                yield fetched
        except BaseException:
            self._free.clear()
            raise

    @contextmanager
    def _taken(self) -> Iterator[list[Lane]]:
        """Lanes that no other call uses. After an error their tables may be gone: so are they."""
        lanes: list[Lane] = []
        for _ in range(self._room.lanes):
            try:
                lanes.append(self._free.pop())
            except IndexError:
                lanes.append(Lane(self.params.table(self._room.capacity)))
        yield lanes
        self._free.extend(lanes)

    def _compile(self, key: Key) -> Program:
        part, batch, length = key
        if part == "arrays":
            return self.params.compare(batch)
        if part == "head":
            return self.params.compare_rows(*self._room, batch)
        if part == "pairs":
            return self.params.score_pairs(batch, length)
        if part == "rows":
            return self.params.take_rows(*self._room, batch)
        return self.params.encode_into(self._room.capacity, self._towers.index(part), batch, length)


def _filled(table: Floats, rows: RowNumbers, batch: int) -> Floats:
    """The given rows of a table, and zeros up to `batch` of them."""
    out = np.empty((batch, table.shape[1]), np.float32)
    # unlike a plain index, this writes into `out` at once; all rows are in range
    table.take(rows, axis=0, out=out[: len(rows)], mode="clip")
    out[len(rows) :] = 0
    return out


def _by_row(
    at: npt.NDArray[np.int32], shapes: Shapes
) -> Iterator[tuple[Step, npt.NDArray[np.int32]]]:
    """Batches of records, each with their places `[sides, batch]` in the tables."""
    for step in plan(np.ones(at.shape[1], np.int64), shapes):
        places = np.zeros((len(at), step.batch), np.int32)
        places[:, : len(step.rows)] = at[:, step.rows]
        yield step, places
