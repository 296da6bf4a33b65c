"""Parquet in and out: the columns in0 and in1 give scores, one of them gives embeddings.

While a file is in work its results are an Arrow stream, to which batches can be added after a kill;
a Parquet file can only be written from its beginning to its end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from o2v_jax.errors import InputError, RecordError
from o2v_jax.ragged import Ragged, offsets_of
from o2v_jax.records import Places, Records, outside
from o2v_jax.transform.answers import Results, Tally
from o2v_jax.transform.reading import Part, Position
from o2v_jax.transform.rows import Flags, Rows
from o2v_jax.transform.settings import FileSettings

PART_ROWS = 2**14
SIDES = ("in0", "in1")
SCORES, EMBEDDINGS, ERROR = "scores", "embeddings", "error"
_NUMBERS = pa.list_(pa.float32())


def parquet_parts(path: Path, start: Position) -> Iterator[Part]:
    """The parts of a file behind `start`: rows of one row group each; a position counts rows.

    Raises:
        InputError: the file cannot be read, or has no columns of ids.
    """
    try:
        with pq.ParquetFile(path) as file:
            _check(path, file.schema_arrow)
            rows, size = file.metadata.num_rows, path.stat().st_size
            for batch, end in _batches(file, start.offset):
                yield _part(batch, end, size * end // rows, final=end == rows)
            if not rows:
                nothing = pa.RecordBatch.from_pylist([], schema=file.schema_arrow)
                yield _part(nothing, 0, size, final=True)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read as Parquet ({reason})") from error


def _batches(file: pq.ParquetFile, start: int) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Batches behind a row, each with its end: cut alike wherever one begins to read."""
    end = 0
    for group in range(file.metadata.num_row_groups):
        if (after := end + file.metadata.row_group(group).num_rows) <= start:
            end = after
            continue
        for batch in file.iter_batches(PART_ROWS, row_groups=[group]):
            end += len(batch)
            if end > start:
                yield batch, end


def _part(batch: pa.RecordBatch, end: int, read: int, *, final: bool) -> Part:
    # a dictionary does not come with its batches in a stream
    dense = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in batch.columns]
    batch = pa.RecordBatch.from_arrays(dense, batch.schema.names)
    return Part([], end - len(batch) + 1, Position(end, end, read, final), batch)


def _check(path: Path, schema: pa.Schema) -> None:
    given = [name for name in SIDES if name in schema.names]
    if not given:
        raise InputError(f"{path}: has neither a column in0 nor in1")
    for name in given:
        kind = schema.field(name).type
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        if not (is_list and pa.types.is_integer(kind.value_type)):
            raise InputError(f"{path}: column {name} must hold lists of integers, not {kind}")
    taken = {SCORES, EMBEDDINGS, ERROR} & set(schema.names)
    taken |= {name for name in schema.names if schema.names.count(name) > 1}
    if taken:
        raise InputError(f"{path}: has a column {min(taken)} already")


def rows_of_batch(part: Part, name: str, vocab_sizes: tuple[int, int]) -> Rows:
    """The records of a batch, the bad ones too."""
    batch, errors = part.batch, dict[int, RecordError]()
    given = [side for side in (0, 1) if SIDES[side] in batch.schema.names]
    sides = {}
    for side in reversed(given):
        sides[side] = _side(batch.column(SIDES[side]), side, vocab_sizes[side])
        for row, path, reason in sides[side][1]:
            errors[row] = RecordError(f"{name}: row {part.line + row} {path}", reason)
    good = np.ones(len(batch), np.bool_)
    good[list(errors)] = False
    kept = {side: read.take(np.flatnonzero(good)) for side, (read, _) in sides.items()}
    in0, in1 = (kept.get(side, Ragged.of([])) for side in (0, 1))
    has0, has1 = (np.full(int(good.sum()), side in sides) for side in (0, 1))
    records = Records(in0, in1, has0, has1, None, Places())
    return Rows(records, good, errors, np.array([0, len(batch)]))


def _side(column: pa.Array, side: int, size: int) -> tuple[Ragged, list[tuple[int, str, str]]]:
    """Ids, 0 where they are bad, and of each bad row the first thing that is wrong."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    values = pc.list_flatten(column)
    offsets = offsets_of(lengths.astype(np.int64))
    wrong = pc.fill_null(pc.or_(pc.less(values, 0), pc.greater_equal(values, size)), True)
    at = np.flatnonzero(wrong.to_numpy(zero_copy_only=False))
    rows = np.searchsorted(offsets, at, side="right") - 1
    _, first = np.unique(rows, return_index=True)
    problems = [(int(row), f"$.in{side}", "is null") for row in np.flatnonzero(_nulls(column))]
    for place, row in zip(at[first].tolist(), rows[first].tolist(), strict=True):
        value = values[place].as_py()
        reason = "is null" if value is None else outside(value, size)
        problems.append((row, f"$.in{side}[{place - int(offsets[row])}]", reason))
    ids = pc.if_else(wrong, pa.scalar(0, values.type), values).to_numpy(zero_copy_only=False)
    return Ragged(ids.astype(np.int32), offsets), problems


def _nulls(column: pa.Array) -> Flags:
    nulls: Flags = column.is_null().to_numpy(zero_copy_only=False)
    return nulls


@dataclass
class BatchResults:
    """Results of a batch, which become its last columns."""

    results: Results
    part: Part

    def text(self, settings: FileSettings, *, skip: bool, tally: Tally) -> Iterator[bytes]:
        """The batch in an Arrow stream, behind the schema if it is the first."""
        del settings, skip
        rows = self.results.rows
        tally.records += len(rows)
        tally.errors += len(rows.errors)
        name = SCORES if set(SIDES) <= set(self.part.batch.schema.names) else EMBEDDINGS
        values = self.results.scores if name == SCORES else self.results.embeddings
        if not np.isfinite(values).all():
            raise InputError("the model gave values that are not finite")
        errors = [str(rows.errors[row]) if row in rows.errors else None for row in range(len(rows))]
        batch = self.part.batch.append_column(name, _lists(values, rows.good))
        batch = batch.append_column(ERROR, pa.array(errors, pa.string()))
        if self.part.line == 1:
            yield batch.schema.serialize().to_pybytes()
        if len(batch):
            yield batch.serialize().to_pybytes()


def _lists(values: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", good: Flags) -> pa.Array:
    offsets = offsets_of(good * values.shape[1]).astype(np.int32)
    flat = pa.array(values.ravel(), pa.float32())
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(~good))


def as_parquet(stream: Path, target: Path, *, errors: int) -> None:
    """Makes the Parquet file of a complete stream; the errors' column only if there are any."""
    # mapped into memory, all of a large stream's pages would stay
    with pa.OSFile(str(stream)) as file, pa.ipc.open_stream(file) as batches:
        names = [name for name in batches.schema.names if errors or name != ERROR]
        schema = pa.schema([batches.schema.field(name) for name in names], batches.schema.metadata)
        with pq.ParquetWriter(target, schema) as writer:
            for batch in batches:
                writer.write_batch(batch.select(names))
