"""The first pass over the data: records checked, split and spilled; tokens numbered and counted."""

from collections.abc import Mapping

import numpy as np
import pyarrow.compute as pc

from o2v_jax.data.arrow import is_list_type
from o2v_jax.data.tokenizers import WRITTEN_LIST, Kind
from o2v_jax.errors import InputError
from o2v_jax.preparation.cells import Sequences, Words, encode
from o2v_jax.preparation.label_column import LabelColumn, Labels
from o2v_jax.preparation.rows import Cells, Rows
from o2v_jax.preparation.settings import GivenSides, Side, choose_splits
from o2v_jax.preparation.skipped_rows import SkippedRows
from o2v_jax.preparation.split import ChunkStore, Dealer, RecordChunk, SplitName

_LISTS = (
    "looks like a list that was written as text: its brackets, quotation marks and commas are part "
    "of the tokens; write tokens with blanks between them, or lists in Parquet or JSON Lines"
)


class Collection:
    """What the first pass gathers.

    Attributes:
        sides: where in0 and in1 come from.
        problems: records that were left out.
        shared: whether the sides have one vocabulary.
        splits: what makes tokens of texts, for each side.
        words: the tokens of each side; the same object where they share a vocabulary.
        labels: what the labels were.
        spills: the records of each part, between the two passes.
    """

    def __init__(
        self,
        spills: Mapping[SplitName, ChunkStore],
        sides: tuple[Side, Side],
        label: LabelColumn | None,
        problems: SkippedRows,
        *,
        shared: bool,
        given: GivenSides = (None, None),
    ) -> None:
        first = Words()
        self.sides = sides
        self.shared = shared
        self.splits = choose_splits(sides, given)
        self.words = first, (first if shared else Words())
        self.labels = Labels(label, again=any(side.vocabulary for side in sides))
        self.spills = spills
        self.problems = problems
        self._remarked: set[str] = set()

    @property
    def columns(self) -> list[str]:
        """The columns to read: of in0, of in1, and of the labels if there are any."""
        label = self.labels.column
        return [*(side.column for side in self.sides), *([label] if label else [])]

    def check(self, rows: Rows) -> RecordChunk:
        """The rows that are records; the others are problems."""
        in0, in1 = (self._encode_side(at, rows) for at in (0, 1))
        labels, label_faults = self.labels.read(rows.columns[2:], len(rows))
        faults = label_faults | in1[1] | in0[1]
        chunk = RecordChunk(rows.places, rows.numbers, labels, (in0[0], in1[0]))
        for row in sorted(faults):
            self.problems.report(chunk.where(row), faults[row])
        return chunk.take(np.setdiff1d(np.arange(len(rows)), [*faults]))

    def add(self, part: SplitName, chunk: RecordChunk) -> None:
        """Adds records to a part; only those of `train` count for the vocabularies."""
        if not len(chunk):
            return
        self.labels.keep(chunk.labels)
        if part == "train":
            for words, side, rows in zip(self.words, self.sides, chunk.sides, strict=True):
                if side.kind != "ids":
                    words.count(rows.ids)
        self.spills[part].write(chunk)

    def collect(self, part: SplitName, rows: Rows, dealer: Dealer) -> None:
        """Takes in rows; those of "train" are dealt out to the parts."""
        chunk = self.check(rows)
        if part != "train":
            self.add(part, chunk)
            return
        for dealt, which in dealer.deal(len(chunk)):
            self.add(dealt, chunk.take(which))

    def close(self) -> None:
        """Ends the writing, whether the spills are read next or not."""
        for spill in self.spills.values():
            spill.close()

    def _encode_side(self, at: int, rows: Rows) -> Sequences:
        side = self.sides[at]
        name = f"in{at} (column {side.column!r})"
        self._remark(name, side.kind, rows.columns[at])
        try:
            found, faults = encode(side.kind, rows.columns[at], self.words[at], self.splits[at])
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        return found, {row: f"{name}: {fault}" for row, fault in faults.items()}

    def _remark(self, name: str, kind: Kind, cells: Cells) -> None:
        """Remarks, once a side, that cells look like lists that were written as text."""
        if kind == "ids" or is_list_type(cells.type) or name in self._remarked:
            return
        pattern = "(?s)" + WRITTEN_LIST.pattern
        found = pc.index(pc.match_substring_regex(cells, pattern), True).as_py()
        if found >= 0:
            self._remarked.add(name)
            self.problems.remark(f"{name}: {cells[found].as_py()[:40]!r} {_LISTS}")
