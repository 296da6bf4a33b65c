"""The network in padded shapes: rows are planned into batches, and results undo the plan."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import jax
import numpy as np
import numpy.typing as npt

from o2v_jax.buckets import Shapes, Step, plan
from o2v_jax.ragged import Ragged
from o2v_jax.scoring.layout import Layout
from o2v_jax.scoring.parameters import Parameters
from o2v_jax.scoring.pipeline import Fetched
from o2v_jax.scoring.programs import Key, Program, ProgramTable
from o2v_jax.unique import distinct_rows

Floats: TypeAlias = npt.NDArray[np.float32]
RowNumbers: TypeAlias = npt.NDArray[np.int64]


@dataclass
class Table:
    """Encodings on the device; what writes into the array replaces it."""

    encodings: jax.Array


class Objects(NamedTuple):
    """What a slice of records needs of a side: distinct rows, which is whose, and their batches."""

    side: int
    rows: Ragged
    kind: RowNumbers
    steps: list[Step]

    @property
    def places(self) -> int:
        """Rows of a table that the batches fill, with padding."""
        return sum(step.batch for step in self.steps)


class Network:
    """Encodes and compares on the device, in those of a layout's shapes that are in use.

    Encodings stay there, in tables: ids go to the device and scores come back. Records are taken in
    slices whose objects fit a table of each side: while the device works on one, the host prepares
    the next. What repeats within a slice is encoded once. All rows are in the vocabulary.

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
        self._capacity = max(largest, layout.table_numbers // params.enc_dim)
        self._free: list[Table] = []

    def score(self, in0: Ragged, in1: Ragged) -> Floats:
        """Scores of pairs, float32 `[pairs, outputs]`."""
        out = np.empty((len(in0), self.params.outputs), np.float32)
        with Fetched(out) as fetched:
            for start, (one, two) in self._slices(0, len(in0), in0, in1):
                with self._table() as table0, self._table() as table1:
                    at = np.stack([self._fill(table0, one), self._fill(table1, two)])
                    tables = table0.encodings, table1.encodings
                    for step, rows in _by_row(at, self.shapes.head):
                        head = self.programs["head", step.batch, 1]
                        fetched.later(start + step.rows, head(self.params.head, *tables, rows))
        return out

    def embed(self, side: int, rows: Ragged) -> Floats:
        """Encodings, float32 `[rows, enc_dim]`."""
        out = np.empty((len(rows), self.params.enc_dim), np.float32)
        sides = (rows, None) if side == 0 else (None, rows)
        with Fetched(out) as fetched:
            for start, (objects,) in self._slices(0, len(rows), *sides):
                with self._table() as table:
                    at = self._fill(table, objects)[None]
                    for step, (places,) in _by_row(at, self.shapes.rows):
                        take = self.programs["rows", step.batch, 1]
                        fetched.later(start + step.rows, take(table.encodings, places))
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

    def _slices(
        self, start: int, stop: int, in0: Ragged | None, in1: Ragged | None
    ) -> Iterator[tuple[int, list[Objects]]]:
        """Slices of the records, each with where it starts, whose objects fit the tables."""
        for first in range(start, stop, self._capacity // 2):
            last = min(stop, first + self._capacity // 2)
            sides = enumerate((in0, in1))
            found = [
                self._objects(s, rows.rows(first, last)) for s, rows in sides if rows is not None
            ]
            if all(objects.places <= self._capacity for objects in found):
                yield first, found
            else:  # much padding: one record always fits
                middle = (first + last) // 2
                yield from self._slices(first, middle, in0, in1)
                yield from self._slices(middle, last, in0, in1)

    def _objects(self, side: int, given: Ragged) -> Objects:
        rows, kind = distinct_rows(given)
        return Objects(side, rows, kind, plan(rows.lengths, self.shapes.encode[side]))

    def _fill(self, table: Table, objects: Objects) -> npt.NDArray[np.int32]:
        """Encodes into the table; returns for every record the row of it."""
        side, rows, kind, steps = objects
        tower, arguments = self._towers[side], self.params.tower(side)
        at, places, first = 0, np.empty(len(rows), np.int32), self.params.first_row
        for step in steps:
            ids = rows.padded(step.batch, step.length, step.rows)
            encode = self.programs[tower, step.batch, step.length]
            table.encodings, first = encode(table.encodings, first, *arguments, ids)
            places[step.rows] = np.arange(at, at + len(step.rows))
            at += step.batch
        self.useful_tokens += len(rows.ids)
        self.computed_tokens += sum(step.batch * step.length for step in steps)
        return places[kind]

    @contextmanager
    def _table(self) -> Iterator[Table]:
        """A table that no other call uses. After an error it may be gone, and is let go."""
        try:
            table = self._free.pop()
        except IndexError:
            table = Table(self.params.table(self._capacity))
        yield table
        self._free.append(table)

    def _compile(self, key: Key) -> Program:
        part, batch, length = key
        if part == "arrays":
            return self.params.compare(batch)
        if part == "head":
            return self.params.compare_rows(self._capacity, batch)
        if part == "rows":
            return self.params.take_rows(self._capacity, batch)
        return self.params.encode_into(self._capacity, self._towers.index(part), batch, length)


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
