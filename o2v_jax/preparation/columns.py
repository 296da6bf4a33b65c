"""The first pass over the data: records checked, split and spilled; tokens numbered and counted."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow.compute as pc

from o2v_jax.data.arrow import is_list_type
from o2v_jax.data.negatives import Negatives
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.tokenizers import WRITTEN_LIST, Kind
from o2v_jax.errors import InputError
from o2v_jax.preparation.cells import EMPTY_CELL, Sequences, Words, encode, split_lists
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
        negatives: the columns that hard negatives come from, which are read as in1 is.
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
        negatives: Sequence[str] = (),
        shared: bool,
        given: GivenSides = (None, None),
    ) -> None:
        first = Words()
        self.sides = sides
        self.negatives = tuple(negatives)
        self.shared = shared
        self.splits = choose_splits(sides, given)
        self.words = first, (first if shared else Words())
        self.labels = Labels(label, again=any(side.vocabulary for side in sides))
        self.spills = spills
        self.problems = problems
        self._remarked: set[str] = set()

    @property
    def columns(self) -> list[str]:
        """The columns to read: of in0, in1 and hard negatives, and of labels if there are any."""
        label = self.labels.column
        sides = [side.column for side in self.sides]
        return [*sides, *self.negatives, *([label] if label else [])]

    def check(self, rows: Rows) -> RecordChunk:
        """The rows that are records; the others are problems."""
        end = 2 + len(self.negatives)  # of the columns of sequences
        in0, in1 = (self._encode_side(at, rows.columns[at]) for at in (0, 1))
        negatives, wrong = self._encode_negatives(rows.columns[2:end])
        labels, label_faults = self.labels.read(rows.columns[end:], len(rows))
        faults = label_faults | wrong | in1[1] | in0[1]
        chunk = RecordChunk(rows.places, rows.numbers, labels, (in0[0], in1[0]), negatives)
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
            if self.sides[1].kind != "ids":
                self.words[1].count(chunk.negatives.rows.ids)
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

    def _encode_side(self, at: int, cells: Cells) -> Sequences:
        name = f"in{at} (column {self.sides[at].column!r})"
        found, faults = self._encode(at, cells, name)
        return found, {row: f"{name}: {fault}" for row, fault in faults.items()}

    def _encode_negatives(self, columns: Sequence[Cells]) -> tuple[Negatives, dict[int, str]]:
        """Hard negatives of records, and what is wrong, by record; an empty cell holds none."""
        parts, records, wrong = [Ragged.of([])], [np.zeros(0, np.int64)], dict[int, str]()
        for column, cells in zip(self.negatives, columns, strict=True):
            name = f"negatives (column {column!r})"
            single, owners = split_lists(self.sides[1].kind, cells)
            found, faults = self._encode(1, single, name)
            parts.append(found)
            records.append(owners)
            for row, fault in faults.items():
                if fault != EMPTY_CELL:
                    wrong[int(owners[row])] = f"{name}: {fault}"
        return Negatives.sort(Ragged.concatenate(parts), np.concatenate(records)), wrong

    def _encode(self, at: int, cells: Cells, name: str) -> Sequences:
        kind = self.sides[at].kind
        self._remark(name, kind, cells)
        try:
            return encode(kind, cells, self.words[at], self.splits[at])
        except InputError as error:
            raise InputError(f"{name}: {error}") from error

    def _remark(self, name: str, kind: Kind, cells: Cells) -> None:
        """Remarks, once a side, that cells look like lists that were written as text."""
        if kind == "ids" or is_list_type(cells.type) or name in self._remarked:
            return
        pattern = "(?s)" + WRITTEN_LIST.pattern
        found = pc.index(pc.match_substring_regex(cells, pattern), True).as_py()
        if found >= 0:
            self._remarked.add(name)
            self.problems.remark(f"{name}: {cells[found].as_py()[:40]!r} {_LISTS}")
