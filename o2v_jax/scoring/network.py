"""The network in padded shapes: rows are planned into batches, and results undo the plan."""

from typing import TypeAlias

import jax
import numpy as np
import numpy.typing as npt

from o2v_jax.buckets import Step, plan
from o2v_jax.ragged import Ragged
from o2v_jax.scoring.layout import Layout
from o2v_jax.scoring.parameters import Parameters
from o2v_jax.scoring.pipeline import run_steps
from o2v_jax.scoring.programs import Key, Program, ProgramTable
from o2v_jax.unique import distinct_rows

Floats: TypeAlias = npt.NDArray[np.float32]
RowNumbers: TypeAlias = npt.NDArray[np.int64]


class Network:
    """Encodes and compares on the device, in those of a layout's shapes that are in use.

    Encodings come to the host in between, which costs a CPU nothing. All rows that are handed over
    are in the vocabulary.

    Attributes:
        shapes: in use; all of the layout at first.
        params: on the device.
        programs: by shape.
        useful_tokens: encoded so far.
        computed_tokens: the same with padding.
    """

    _head = "head"  # name of the programs that compare arrays

    def __init__(self, layout: Layout, params: Parameters) -> None:
        self.shapes, self.params, self._towers = layout, params, layout.towers
        self.programs = ProgramTable([*layout.programs(), *layout.on_demand()], self._compile)
        self.useful_tokens = self.computed_tokens = 0

    def score(self, in0: Ragged, in1: Ragged) -> Floats:
        """Scores of pairs, float32 `[pairs, outputs]`."""
        (enc0, row0), (enc1, row1) = self.encode(0, in0), self.encode(1, in1)
        return self.compare(enc0, row0, enc1, row1)

    def embed(self, side: int, rows: Ragged) -> Floats:
        """Encodings, float32 `[rows, enc_dim]`."""
        encodings, row = self.encode(side, rows)
        return encodings[row]

    def encode(self, side: int, rows: Ragged) -> tuple[Floats, RowNumbers]:
        """Encodings of the distinct rows, and for every row the number of its encoding."""
        distinct, kind = distinct_rows(rows)
        return self._encode(side, distinct), kind

    def compare(self, enc0: Floats, row0: RowNumbers, enc1: Floats, row1: RowNumbers) -> Floats:
        """Scores, float32 `[pairs, outputs]`, of pairs of rows of two arrays of encodings."""

        def start(step: Step) -> jax.Array:
            one = _filled(enc0, row0[step.rows], step.batch)
            two = _filled(enc1, row1[step.rows], step.batch)
            scores: jax.Array
            scores = self.programs[self._head, step.batch, 1](self.params.head, one, two)
            return scores

        out = np.empty((len(row0), self.params.outputs), np.float32)
        return run_steps(plan(np.ones(len(row0), np.int64), self.shapes.head), start, out)

    def _encode(self, side: int, rows: Ragged) -> Floats:
        tower, arguments = self._towers[side], self.params.tower(side)

        def start(step: Step) -> jax.Array:
            ids = rows.padded(step.batch, step.length, step.rows)
            encodings: jax.Array = self.programs[tower, step.batch, step.length](*arguments, ids)
            return encodings

        out = np.empty((len(rows), self.params.enc_dim), np.float32)
        steps = plan(rows.lengths, self.shapes.encode[side])
        self._count(rows, steps)
        return run_steps(steps, start, out)

    def _count(self, rows: Ragged, steps: list[Step]) -> None:
        self.useful_tokens += len(rows.ids)
        self.computed_tokens += sum(step.batch * step.length for step in steps)

    def _compile(self, key: Key) -> Program:
        part, batch, length = key
        if part == "head":
            return self.params.compare(batch)
        return self.params.encode(self._towers.index(part), batch, length)


def _filled(table: Floats, rows: RowNumbers, batch: int) -> Floats:
    """The given rows of a table, and zeros up to `batch` of them."""
    out = np.empty((batch, table.shape[1]), np.float32)
    # unlike a plain index, this writes into `out` at once; all rows are in range
    table.take(rows, axis=0, out=out[: len(rows)], mode="clip")
    out[len(rows) :] = 0
    return out
