"""The second pass over the data: ids in place of numbers, and JSON Lines of them."""

from pathlib import Path
from typing import TypeAlias

import numpy as np

from o2v_jax.data.ragged import Ragged
from o2v_jax.data.warnings import zero_inside
from o2v_jax.preparation.jsonlines import json_lines
from o2v_jax.preparation.label_kinds import Outcome
from o2v_jax.preparation.problems import Problems
from o2v_jax.preparation.report import PartCount, SideCount
from o2v_jax.preparation.sides import Numbering
from o2v_jax.preparation.spill import Chunk, Spill

# None where a side holds ids already
Numberings: TypeAlias = tuple[Numbering | None, Numbering | None]

_BOTH_EMPTY = "no token of in0 or in1 is in the vocabulary, which has no <unk>"


def write_part(
    path: Path, spill: Spill, numberings: Numberings, outcome: Outcome, problems: Problems
) -> PartCount:
    """Writes the records of a part and counts what is in them.

    Args:
        path: the file to write.
        spill: the records.
        numberings: of each side.
        outcome: of the labels.
        problems: is told of records of which nothing is left.

    Raises:
        RecordError: nothing is left of a record, and such are not to be skipped.
    """
    count = PartCount.empty()
    with path.open("wb") as out:
        for chunk in spill.read():
            numbered = _numbered(chunk, numberings, count, problems)
            out.write(json_lines(outcome.final(numbered.labels), *numbered.sides))
            count.records += len(numbered)
    return count


def _numbered(chunk: Chunk, numberings: Numberings, count: PartCount, problems: Problems) -> Chunk:
    pairs = zip(numberings, chunk.sides, count.sides, strict=True)
    in0, in1 = (_ids(numbering, rows, side) for numbering, rows, side in pairs)
    numbered = Chunk(chunk.places, chunk.numbers, chunk.labels, (in0, in1))
    empty = (in0.lengths == 0) & (in1.lengths == 0)
    for row in np.flatnonzero(empty).tolist():
        problems.found(chunk.where(row), _BOTH_EMPTY)
    return numbered.take(np.flatnonzero(~empty))


def _ids(numbering: Numbering | None, rows: Ragged, count: SideCount) -> Ragged:
    ids, known = numbering.apply(rows) if numbering else (rows, len(rows.ids))
    count.tokens += len(rows.ids)
    count.known += known
    count.longest = max(count.longest, int(ids.lengths.max(initial=0)))
    count.largest = max(count.largest, int(ids.ids.max(initial=0)))
    count.zero_inside = count.zero_inside or zero_inside(ids)
    return ids
