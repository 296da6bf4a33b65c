"""A preparation of tables in memory: what `job` writes to files, as arrays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from o2v_jax.data.negatives import NO_NEGATIVES, Negatives
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.records import LabelValues
from o2v_jax.data.tokenizers import Tokenizers
from o2v_jax.errors import InputError
from o2v_jax.preparation.columns import Collection
from o2v_jax.preparation.label_column import LabelColumn
from o2v_jax.preparation.read.batches import read_arrow_table
from o2v_jax.preparation.report import PreparationReport, SplitCount
from o2v_jax.preparation.settings import Side, find_contradictions, make_tokenizer
from o2v_jax.preparation.skipped_rows import SkippedRows
from o2v_jax.preparation.split import SPLIT_NAMES, ChunkList, RecordChunk, Split, SplitName
from o2v_jax.preparation.write import conclude, make_numberings, number_part


@dataclass(frozen=True, eq=False)
class PreparedRows:
    """The records of one part.

    Attributes:
        sides: in0 and in1 as token ids.
        labels: float64 `[records]`.
        chunks: the records as they were read, which say where each was.
        negatives: hard negatives of the records.
    """

    sides: tuple[Ragged, Ragged]
    labels: LabelValues
    chunks: tuple[RecordChunk, ...]
    negatives: Negatives = NO_NEGATIVES

    def where(self, record: int) -> str:
        """Where a record was, such as "table: row 7"."""
        for chunk in self.chunks:
            if record < len(chunk):
                return chunk.where(record)
            record -= len(chunk)
        raise IndexError(record)


@dataclass(frozen=True, eq=False)
class PreparedTables:
    """What a preparation of tables found.

    Attributes:
        parts: the records of each part.
        hyperparameters: those that follow from the data, by name, as text.
        tokenizers: of in0 and in1.
        class_names: in the order of the classes; empty where labels are numbers.
        report: for a person.
    """

    parts: Mapping[SplitName, PreparedRows]
    hyperparameters: dict[str, str]
    tokenizers: Tokenizers
    class_names: tuple[str, ...]
    report: PreparationReport


def prepare_tables(
    tables: Mapping[SplitName, pa.Table],
    sides: tuple[Side, Side],
    label: LabelColumn | None,
    split: Split,
    *,
    negatives: Sequence[str] = (),
    shared: bool = False,
    skip: bool = False,
) -> PreparedTables:
    """Prepares tables in memory as `Preparation` does files: the same records, ids and settings.

    Args:
        tables: by part, "train" at least, which `split` deals out to the parts.
        sides: where in0 and in1 come from; the vocabularies are counted.
        label: where labels come from; None: every label is 1.
        split: the shares of "train" for validation and for testing.
        negatives: columns of hard negatives.
        shared: whether in0 and in1 have one vocabulary.
        skip: whether bad records are left out; otherwise the first one is an error.

    Raises:
        InputError: the sides contradict each other, a table lacks a column, or a part gets no
            records.
        RecordError: names the table and the row, from 0, of the first bad record.
    """
    for contradiction in find_contradictions(sides, shared=shared):
        raise InputError(contradiction)
    spills = {part: ChunkList() for part in SPLIT_NAMES}
    collection = Collection(
        spills, sides, label, SkippedRows(skip), negatives=negatives, shared=shared
    )
    _collect(collection, tables, split)
    numberings, outcome = make_numberings(collection, (None, None)), collection.labels.conclude()
    counts: dict[SplitName, SplitCount] = {}
    parts: dict[SplitName, PreparedRows] = {}
    for part in _list_parts(tables, split):
        count = counts[part] = SplitCount.empty()
        chunks = number_part(spills[part].read(), numberings, outcome, count, collection.problems)
        parts[part] = _join(tuple(chunks))
    settings, report = conclude(collection, numberings, outcome, counts)
    in0, in1 = map(make_tokenizer, sides, numberings)
    names = tuple(sorted(outcome.names, key=lambda name: outcome.names[name]))
    return PreparedTables(parts, settings, (in0, in1), names, report)


def _collect(collection: Collection, tables: Mapping[SplitName, pa.Table], split: Split) -> None:
    dealer = split.make_dealer()
    for part, table in tables.items():
        source = "table" if part == "train" else part
        for rows in read_arrow_table(table, collection.columns, source):
            collection.collect(part, rows, dealer)


def _list_parts(tables: Mapping[SplitName, pa.Table], split: Split) -> Iterator[SplitName]:
    """The parts that were asked for."""
    shares = {"train": 1.0, "validation": split.validation, "test": split.test}
    return (part for part in SPLIT_NAMES if part in tables or shares[part])


def _join(chunks: tuple[RecordChunk, ...]) -> PreparedRows:
    if not chunks:
        none = Ragged.of([])
        return PreparedRows((none, none), np.zeros(0), ())
    in0, in1 = (Ragged.concatenate([chunk.sides[at] for chunk in chunks]) for at in (0, 1))
    sizes = [len(chunk) for chunk in chunks]
    negatives = Negatives.concatenate([chunk.negatives for chunk in chunks], sizes)
    labels = np.concatenate([chunk.labels for chunk in chunks])
    return PreparedRows((in0, in1), labels, chunks, negatives)
