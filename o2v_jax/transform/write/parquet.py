"""Writes the results of Parquet files: columns beside those of the input."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from o2v_jax.atomic import sync
from o2v_jax.data.ragged import offsets_of
from o2v_jax.errors import InputError
from o2v_jax.transform.read.parquet import EMBEDDINGS, ERROR, SCORES, SIDES, translate_arrow_errors
from o2v_jax.transform.read.parts import Part
from o2v_jax.transform.read.rows import Flags
from o2v_jax.transform.settings import FileSettings
from o2v_jax.transform.write.answers import RecordCounts, Results

_END = 8  # bytes at the end of an Arrow stream


@dataclass
class BatchResults:
    """Results of a batch, which become its last columns."""

    results: Results
    part: Part
    name: str

    def encode(
        self, settings: FileSettings, *, skip: bool, counts: RecordCounts
    ) -> Iterator[bytes]:
        """The batch in an Arrow stream, behind the schema if it is the first."""
        del settings, skip
        rows = self.results.rows
        counts.records += len(rows)
        counts.errors += len(rows.errors)
        name = SCORES if set(SIDES) <= set(self.part.batch.schema.names) else EMBEDDINGS
        values = self.results.scores if name == SCORES else self.results.embeddings
        if not np.isfinite(values).all():
            raise InputError("the model gave values that are not finite")
        errors = [str(rows.errors[row]) if row in rows.errors else None for row in range(len(rows))]
        with translate_arrow_errors(self.name, "cannot be written as Parquet"):
            batch = self.part.batch.append_column(name, _make_lists(values, rows.good))
            batch = batch.append_column(ERROR, pa.array(errors, pa.string()))
            schema, content = _encode_stream(batch)
        if self.part.line == 1:
            yield schema
        if len(batch):
            yield content


def _encode_stream(batch: pa.RecordBatch) -> tuple[bytes, bytes]:
    """A batch in an Arrow stream: the schema; and what follows, with the dictionaries it needs."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    content = sink.getvalue()
    begin = len(batch.schema.serialize())
    rest = content.slice(begin, len(content) - begin - _END)
    return content.slice(0, begin).to_pybytes(), rest.to_pybytes()


def _make_lists(
    values: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", good: Flags
) -> pa.Array:
    offsets = offsets_of(good * values.shape[1]).astype(np.int32)
    flat = pa.array(values.ravel(), pa.float32())
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(~good))


def convert_to_parquet(stream: Path, target: Path, name: str, *, errors: int) -> None:
    """Makes the Parquet file of a complete stream; the errors' column only if there are any.

    Raises:
        InputError: a column cannot be written as Parquet, or the stream is damaged.
        OSError: the disk is full.
    """
    with translate_arrow_errors(name, "cannot be written as Parquet"), target.open("wb") as file:
        _write_parquet(stream, file, errors=errors)
    sync(target)


def _write_parquet(stream: Path, target: BinaryIO, *, errors: int) -> None:
    # mapped into memory, all of a large stream's pages would stay
    with stream.open("rb") as file, pa.ipc.open_stream(file) as batches:
        names = [name for name in batches.schema.names if errors or name != ERROR]
        schema = pa.schema([batches.schema.field(name) for name in names], batches.schema.metadata)
        with pq.ParquetWriter(target, schema) as writer:
            for batch in batches:
                writer.write_batch(batch.select(names))
