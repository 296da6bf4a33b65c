"""Labelled records as columns in .npy files: what is known of them before any configuration."""

import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from o2v_jax.array_types import Index
from o2v_jax.data import Fault
from o2v_jax.data.arrow import LabelledPairs
from o2v_jax.data.negatives import Negatives
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.warnings import zero_inside

MAX_LISTED = 1000  # bad lines, or bad records, of which it is kept what is wrong with them
SUMMARY = "summary.json"
DTYPES: Mapping[str, Any] = {
    "in0.ids.npy": np.int32,
    "in0.offsets.npy": np.int64,
    "in1.ids.npy": np.int32,
    "in1.offsets.npy": np.int64,
    "labels.npy": np.float64,
    "lines.npy": np.int64,
    "empty.npy": np.int64,
    "negatives.ids.npy": np.int32,
    "negatives.offsets.npy": np.int64,
    "negatives.records.npy": np.int64,
}
SEQUENCES = ("in0", "in1", "negatives")


class BadLine(NamedTuple):
    """A line that is no record: the number of its file, its own number, what is wrong with it."""

    file: int
    line: int
    fault: Fault


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of columns without reading them.

    Attributes:
        records: how many there are.
        negatives: how many hard negatives these have, all together.
        tokens: how many ids in0, in1 and the negatives have.
        empty: how many records are empty: see `Columns`.
        largest: the largest id of in0, of in1 and of the negatives; -1 if there is none.
        zero_inside: whether in in0, in in1 and in negatives id 0 stands before another id.
        ends: for each file, how many records there are up to its end.
        bad: how many lines are neither blank nor a record.
        faults: the first of these.
    """

    records: int = 0
    negatives: int = 0
    tokens: tuple[int, int, int] = (0, 0, 0)
    empty: int = 0
    largest: tuple[int, int, int] = (-1, -1, -1)
    zero_inside: tuple[bool, bool, bool] = (False, False, False)
    ends: tuple[int, ...] = ()
    bad: int = 0
    faults: tuple[BadLine, ...] = ()

    def lengths(self) -> dict[str, int]:
        """How many numbers each column holds."""
        in0 = self.tokens[0], self.records + 1
        in1 = self.tokens[1], self.records + 1
        negatives = self.tokens[2], self.negatives + 1, self.negatives
        counts = *in0, *in1, self.records, self.records, self.empty, *negatives
        return dict(zip(DTYPES, counts, strict=True))


@dataclass(frozen=True, eq=False)
class Columns:
    """Labelled records, perhaps mapped from files.

    Attributes:
        in0: the in0 sides, `[records]` rows.
        in1: the in1 sides, `[records]` rows.
        labels: float64 `[records]`.
        lines: int64 `[records]`, line numbers.
        empty: int64, in order, the records that hold no id but 0 or have such a negative.
        negatives: hard negatives of the records.
        summary: what is known of them as a whole.
    """

    in0: Ragged
    in1: Ragged
    labels: npt.NDArray[np.float64]
    lines: Index
    empty: Index
    negatives: Negatives
    summary: Summary

    @classmethod
    def of(cls, pairs: LabelledPairs, file: int) -> "Columns":
        """The columns of a part of the file numbered `file`."""
        sequences = pairs.in0, pairs.in1, pairs.negatives.rows
        empty = _find_empty(pairs)
        summary = Summary(
            records=len(pairs.labels),
            negatives=len(pairs.negatives),
            tokens=_make_triple(len(rows.ids) for rows in sequences),
            empty=len(empty),
            largest=_make_triple(int(rows.ids.max(initial=-1)) for rows in sequences),
            zero_inside=_make_triple(zero_inside(rows) for rows in sequences),
            bad=pairs.bad,
            faults=tuple(BadLine(file, line, fault) for line, fault in pairs.faults),
        )
        return cls(*pairs.sides, pairs.labels, pairs.lines, empty, pairs.negatives, summary)

    def place(self, record: int) -> tuple[int, int]:
        """The number of the file a record stands in, and of its line."""
        return bisect.bisect_right(self.summary.ends, record), int(self.lines[record])


def _make_triple(values: Any) -> tuple[Any, Any, Any]:
    in0, in1, negatives = values
    return in0, in1, negatives


def _find_empty(pairs: LabelledPairs) -> Index:
    """The records that hold no id but 0, or have such a negative."""
    empty = ~(find_filled(pairs.in0) | find_filled(pairs.in1))
    if len(pairs.negatives):
        empty[pairs.negatives.records[~find_filled(pairs.negatives.rows)]] = True
    return np.flatnonzero(empty)


def find_filled(rows: Ragged) -> npt.NDArray[np.bool_]:
    """Which rows hold an id other than 0, bool `[rows]`."""
    before = np.zeros(len(rows.ids) + 1, np.int64)
    np.cumsum(rows.ids != 0, out=before[1:])
    return before[rows.offsets[1:]] > before[rows.offsets[:-1]]


@dataclass
class ColumnWriter:
    """Appends parts of columns to one .npy stream a column, and keeps the summary of all of them.

    The length in a header is 0 until `close`: NumPy leaves room in it for any other.
    """

    streams: Mapping[str, BinaryIO]
    summary: Summary = field(default_factory=Summary)

    @classmethod
    def to(cls, create: Callable[[str], BinaryIO]) -> "ColumnWriter":
        """Writes to what `create` gives for the name of each column."""
        writer = cls({name: create(name) for name in DTYPES})
        for name, stream in writer.streams.items():
            _write_header(stream, name, 0)
        for name in SEQUENCES:
            writer.streams[f"{name}.offsets.npy"].write(np.zeros(1, np.int64).tobytes())
        return writer

    def add(self, part: Columns) -> None:
        """Appends a part."""
        before, more = self.summary, part.summary
        columns: dict[str, npt.NDArray[Any]] = {
            "in0.ids.npy": part.in0.ids,
            "in0.offsets.npy": part.in0.offsets[1:] + before.tokens[0],
            "in1.ids.npy": part.in1.ids,
            "in1.offsets.npy": part.in1.offsets[1:] + before.tokens[1],
            "labels.npy": part.labels,
            "lines.npy": part.lines,
            "empty.npy": part.empty + before.records,
            "negatives.ids.npy": part.negatives.rows.ids,
            "negatives.offsets.npy": part.negatives.rows.offsets[1:] + before.tokens[2],
            "negatives.records.npy": part.negatives.records + before.records,
        }
        for name, column in columns.items():
            self.streams[name].write(column.astype(DTYPES[name], copy=False).tobytes())
        self.summary = _join_summaries(before, more)

    def end_file(self) -> None:
        """Says that the parts that follow come from the next file."""
        ends = (*self.summary.ends, self.summary.records)
        self.summary = msgspec.structs.replace(self.summary, ends=ends)

    def close(self) -> Summary:
        """Writes the lengths of the columns into their headers; returns the summary."""
        for name, length in self.summary.lengths().items():
            self.streams[name].seek(0)
            _write_header(self.streams[name], name, length)
        return self.summary


def _write_header(stream: BinaryIO, name: str, length: int) -> None:
    dtype = np.dtype(DTYPES[name])
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (length,)}
    npy.write_array_header_1_0(stream, header)


def _join_summaries(one: Summary, other: Summary) -> Summary:
    zeros = zip(one.zero_inside, other.zero_inside, strict=True)
    return Summary(
        records=one.records + other.records,
        negatives=one.negatives + other.negatives,
        tokens=_make_triple(map(sum, zip(one.tokens, other.tokens, strict=True))),
        empty=one.empty + other.empty,
        largest=_make_triple(map(max, zip(one.largest, other.largest, strict=True))),
        zero_inside=_make_triple(map(any, zeros)),
        ends=one.ends,
        bad=one.bad + other.bad,
        faults=(*one.faults, *other.faults)[:MAX_LISTED],
    )


def map_columns(directory: Path) -> Columns:
    """The columns in a directory, mapped into memory.

    Raises:
        OSError: a file is missing or cannot be read.
        ValueError: a file is damaged.
        InputError: the offsets are damaged.
    """
    summary = msgspec.json.decode((directory / SUMMARY).read_bytes(), type=Summary)
    return _make_columns(
        {name: _map_column(directory / name, n) for name, n in summary.lengths().items()}, summary
    )


def view_columns(buffers: Mapping[str, BytesIO], summary: Summary) -> Columns:
    """The columns in buffers, which share their memory."""
    return _make_columns(
        {name: _view_column(buffers[name], DTYPES[name]) for name in DTYPES}, summary
    )


def _view_column(buffer: BytesIO, dtype: Any) -> npt.NDArray[Any]:
    """An array in the memory of a buffer, behind its header."""
    buffer.seek(0)
    npy.read_magic(buffer)
    npy.read_array_header_1_0(buffer)
    return np.frombuffer(buffer.getbuffer(), dtype, offset=buffer.tell())


def _map_column(path: Path, length: int) -> npt.NDArray[Any]:
    array = npy.open_memmap(path, mode="r")
    if array.shape != (length,) or array.dtype != DTYPES[path.name]:
        raise ValueError(f"{path} holds another column than {SUMMARY} says")
    if path.stat().st_size != array.offset + array.nbytes:
        raise ValueError(f"{path} has another size than its header says")
    return array


def _make_columns(arrays: Mapping[str, npt.NDArray[Any]], summary: Summary) -> Columns:
    in0, in1, rows = (_make_ragged(arrays, name) for name in SEQUENCES)
    labels, lines, empty = (arrays[f"{name}.npy"] for name in ("labels", "lines", "empty"))
    negatives = Negatives(rows, arrays["negatives.records.npy"])
    return Columns(in0, in1, labels, lines, empty, negatives, summary)


def _make_ragged(arrays: Mapping[str, npt.NDArray[Any]], name: str) -> Ragged:
    return Ragged(arrays[f"{name}.ids.npy"], arrays[f"{name}.offsets.npy"])
