"""Splits records into channels, and keeps them on disk until all tokens are counted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from o2v_jax.array_types import Index
from o2v_jax.data.negatives import NO_NEGATIVES, Negatives
from o2v_jax.data.ragged import Ragged, offsets_of
from o2v_jax.errors import InputError

SplitName: TypeAlias = Literal["train", "validation", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = get_args(SplitName)

# in the order of the bounds between
_DEALT: tuple[SplitName, ...] = ("validation", "test", "train")


@dataclass(frozen=True)
class Split:
    """The shares of records that go to validation and to test; each record is assigned at random.

    Attributes:
        validation: a share of at least 0.
        test: likewise; both together are less than 1.
        seed: of the random numbers.

    Raises:
        InputError: a share is negative, or their sum is not below 1.
    """

    validation: float = 0.0
    test: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        total = self.validation + self.test
        if min(self.validation, self.test) < 0 or not total < 1:
            shares = f"validation {self.validation:g} and test {self.test:g}"
            raise InputError(f"{shares} must be shares of at least 0 that sum to less than 1")

    def make_dealer(self) -> "Dealer":
        """A dealer that begins with the first record."""
        return Dealer(self)


class Dealer:
    """Assigns records to parts, one after another; how they are chunked makes no difference."""

    def __init__(self, split: Split) -> None:
        self._random = np.random.default_rng(split.seed)
        self._bounds = np.array([split.validation, split.validation + split.test])

    def deal(self, records: int) -> Iterator[tuple[SplitName, Index]]:
        """Each part with the positions, int64, of those of the next `records` that it gets."""
        place = np.searchsorted(self._bounds, self._random.random(records), side="right")
        for at, part in enumerate(_DEALT):
            yield part, np.flatnonzero(place == at)


_SCHEMA = pa.schema(
    {
        "number": pa.int64(),
        "label": pa.float64(),
        "in0": pa.list_(pa.int32()),
        "in1": pa.list_(pa.int32()),
        "negatives": pa.list_(pa.list_(pa.int32())),
    }
)


@dataclass(frozen=True, eq=False)
class RecordChunk:
    """Records of one file whose tokens are numbers of a `Words`, or ids.

    Attributes:
        places: the template of where each was, as in `Rows`.
        numbers: int64 `[records]`, what fills the template.
        labels: float64 `[records]`.
        sides: in0 and in1, of as many rows.
        negatives: hard negatives of the records, their tokens as those of in1.
    """

    places: str
    numbers: Index
    labels: npt.NDArray[np.float64]
    sides: tuple[Ragged, Ragged]
    negatives: Negatives = NO_NEGATIVES

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Index) -> "RecordChunk":
        """The given records, in the given order."""
        sides = self.sides[0].take(rows), self.sides[1].take(rows)
        numbers, negatives = self.numbers[rows], self.negatives.take(rows)
        return RecordChunk(self.places, numbers, self.labels[rows], sides, negatives)

    def where(self, row: int) -> str:
        """Where a record was."""
        return self.places.format(self.numbers[row])


class Spill:
    """Chunks in an Arrow stream: written one after the other, closed, then read in that order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = pa.ipc.new_stream(path, _SCHEMA)
        self._places: list[str] = []

    def write(self, chunk: RecordChunk) -> None:
        """Appends a chunk."""
        columns = [pa.array(chunk.numbers), pa.array(chunk.labels), *map(_pack, chunk.sides)]
        columns.append(_pack_negatives(chunk))
        self._writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
        self._places.append(chunk.places)

    def read(self) -> Iterator[RecordChunk]:
        """Every chunk, after `close`."""
        with pa.OSFile(str(self._path)) as file, pa.ipc.open_stream(file) as reader:
            for places, batch in zip(self._places, reader, strict=True):
                numbers, labels, *sides, negatives = batch.columns
                in0, in1 = map(_unpack, sides)
                yield RecordChunk(
                    *(places, numbers.to_numpy(), labels.to_numpy(), (in0, in1)),
                    _unpack_negatives(negatives),
                )

    def close(self) -> None:
        """Ends the writing."""
        self._writer.close()

    def remove(self) -> None:
        """Deletes the file."""
        self._path.unlink()


class ChunkList:
    """Chunks in memory, with the methods of `Spill`."""

    def __init__(self) -> None:
        self._chunks: list[RecordChunk] = []

    def write(self, chunk: RecordChunk) -> None:
        """Appends a chunk."""
        self._chunks.append(chunk)

    def read(self) -> Iterator[RecordChunk]:
        """Every chunk, in order."""
        return iter(self._chunks)

    def close(self) -> None:
        """Nothing is open."""

    def remove(self) -> None:
        """Lets go of the chunks."""
        self._chunks = []


ChunkStore: TypeAlias = Spill | ChunkList


def _pack(rows: Ragged) -> "pa.ListArray[Any]":
    return pa.ListArray.from_arrays(rows.offsets.astype(np.int32), rows.ids)


def _unpack(column: Any) -> Ragged:
    lengths = np.diff(column.offsets.to_numpy())
    return Ragged(column.flatten().to_numpy(), offsets_of(lengths))


def _pack_negatives(chunk: RecordChunk) -> "pa.ListArray[Any]":
    _, counts = chunk.negatives.find(np.arange(len(chunk)))
    offsets = offsets_of(counts).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, _pack(chunk.negatives.rows))


def _unpack_negatives(column: Any) -> Negatives:
    return Negatives.of_counts(_unpack(column.flatten()), np.diff(column.offsets.to_numpy()))
