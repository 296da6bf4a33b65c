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

Floats: TypeAlias = npt.NDArray[np.float32]
RowNumbers: TypeAlias = npt.NDArray[np.int64]


class Network:
    """Encodes and compares on the device, in those of a layout's shapes that are in use.

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

    def encode(self, side: int, rows: Ragged) -> Floats:
        """Encodings, float32 `[rows, enc_dim]`, of rows that are in the vocabulary."""
        tower, arguments = self._towers[side], self.params.tower(side)

        def start(step: Step) -> jax.Array:
            ids = rows.take(step.rows).padded(step.batch, step.length)
            return self.programs[tower, step.batch, step.length](*arguments, ids)

        out = np.empty((len(rows), self.params.enc_dim), np.float32)
        steps = plan(rows.lengths, self.shapes.encode[side])
        self.useful_tokens += len(rows.ids)
        self.computed_tokens += sum(step.batch * step.length for step in steps)
        return run_steps(steps, start, out)

    def compare(self, enc0: Floats, row0: RowNumbers, enc1: Floats, row1: RowNumbers) -> Floats:
        """Scores, float32 `[pairs, outputs]`, of pairs of rows of two tables of encodings."""

        def start(step: Step) -> jax.Array:
            one = _filled(enc0, row0[step.rows], step.batch)
            two = _filled(enc1, row1[step.rows], step.batch)
            return self.programs["head", step.batch, 1](self.params.head, one, two)

        out = np.empty((len(row0), self.params.outputs), np.float32)
        return run_steps(plan(np.ones(len(row0), np.int64), self.shapes.head), start, out)

    def _compile(self, key: Key) -> Program:
        part = key[0]
        return self.params.compile(key, None if part == "head" else self._towers.index(part))


def _filled(table: Floats, rows: RowNumbers, batch: int) -> Floats:
    """The given rows of a table, and zeros up to `batch` of them."""
    out = np.empty((batch, table.shape[1]), np.float32)
    # unlike a plain index, this writes into `out` at once; all rows are in range
    table.take(rows, axis=0, out=out[: len(rows)], mode="clip")
    out[len(rows) :] = 0
    return out
