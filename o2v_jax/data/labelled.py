"""Labelled pairs from blocks of whole lines, with every line that is none: for training.

Other readers stop at the first bad line. This one goes on behind it, and reads blocks that are
plainly right without a Python object a record.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from o2v_jax.data.schema import LINE, Labelled, decode_utf8

from o2v_jax.data.arrow import read_plain
from o2v_jax.data.ragged import Index, Ragged
from o2v_jax.data.validate import Fault, explain


@dataclass(frozen=True, eq=False)
class LabelledPairs:
    """The records of consecutive lines.

    Attributes:
        in0: the in0 sides, `[records]` rows.
        in1: the in1 sides, `[records]` rows.
        labels: float64 `[records]`.
        lines: int64 `[records]`, line numbers.
        bad: how many lines are neither blank nor a record.
        faults: the numbers of the first bad lines, and what is wrong with them.
    """

    in0: Ragged
    in1: Ragged
    labels: npt.NDArray[np.float64]
    lines: Index
    bad: int = 0
    faults: tuple[tuple[int, Fault], ...] = ()


def read_labelled(text: bytes, first: int = 1, *, explained: int = 1000) -> LabelledPairs:
    r"""The records of whole lines.

    Args:
        text: lines, numbered from `first`, without a byte order mark.
        first: the number of the first line.
        explained: of how many bad lines, at most, `faults` says what is wrong.

    >>> pairs = read_labelled(b'{"label": 1, "in0": [3], "in1": []}\n[]')
    >>> pairs.in0.ids, pairs.bad, pairs.faults[0][0]
    (array([3], dtype=int32), 1, 2)
    """
    plain = read_plain(text)
    if plain is None:
        return read_each_line(text, first, explained=explained)
    return LabelledPairs(plain.in0, plain.in1, plain.labels, plain.lines + first)


def read_each_line(text: bytes, first: int = 1, *, explained: int = 1000) -> LabelledPairs:
    """The same, a line at a time: this says what a record is."""
    rows, lines, faults, bad = [], [], [], 0
    for number, line in enumerate(text.split(b"\n"), first):
        if not line or line.isspace():
            continue
        try:
            rows.append(decode_utf8(LINE[True], line))
            lines.append(number)
        except (ValueError, RecursionError) as error:
            bad += 1
            if bad <= explained:
                faults.append((number, explain(error, line, is_line=True)))
    return LabelledPairs(*_arrays(rows), np.array(lines, np.int64), bad, tuple(faults))


def _arrays(rows: list[Labelled]) -> tuple[Ragged, Ragged, npt.NDArray[np.float64]]:
    labels = np.fromiter((row.label for row in rows), np.float64, len(rows))
    return Ragged.of([row.in0 for row in rows]), Ragged.of([row.in1 for row in rows]), labels
