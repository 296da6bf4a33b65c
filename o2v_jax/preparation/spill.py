"""Records on the disk, from the first look at them until all tokens are counted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from o2v_jax.data.ragged import Index, Ragged, offsets_of

_SCHEMA = pa.schema(
    {
        "number": pa.int64(),
        "label": pa.float64(),
        "in0": pa.list_(pa.int32()),
        "in1": pa.list_(pa.int32()),
    }
)


@dataclass(frozen=True, eq=False)
class Chunk:
    """Records of one file whose tokens are numbers of a `Words`, or ids.

    Attributes:
        places: the template of where each stood, as in `Rows`.
        numbers: int64 `[records]`, what fills the template.
        labels: float64 `[records]`.
        sides: in0 and in1, of as many rows.
    """

    places: str
    numbers: Index
    labels: npt.NDArray[np.float64]
    sides: tuple[Ragged, Ragged]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Index) -> "Chunk":
        """The given records, in the given order."""
        sides = self.sides[0].take(rows), self.sides[1].take(rows)
        return Chunk(self.places, self.numbers[rows], self.labels[rows], sides)

    def where(self, row: int) -> str:
        """Where a record stood."""
        return self.places.format(self.numbers[row])


class Spill:
    """Chunks in an Arrow stream: written one after the other, closed, then read in that order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = pa.ipc.new_stream(path, _SCHEMA)
        self._places: list[str] = []

    def write(self, chunk: Chunk) -> None:
        """Appends a chunk."""
        columns = [pa.array(chunk.numbers), pa.array(chunk.labels), *map(_packed, chunk.sides)]
        self._writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
        self._places.append(chunk.places)

    def read(self) -> Iterator[Chunk]:
        """Every chunk, after `close`."""
        with pa.OSFile(str(self._path)) as file, pa.ipc.open_stream(file) as reader:
            for places, batch in zip(self._places, reader, strict=True):
                numbers, labels, *sides = batch.columns
                in0, in1 = map(_unpacked, sides)
                yield Chunk(places, numbers.to_numpy(), labels.to_numpy(), (in0, in1))

    def close(self) -> None:
        """Ends the writing."""
        self._writer.close()

    def remove(self) -> None:
        """Deletes the file."""
        self._path.unlink()


def _packed(rows: Ragged) -> "pa.ListArray[Any]":
    return pa.ListArray.from_arrays(rows.offsets.astype(np.int32), rows.ids)


def _unpacked(column: Any) -> Ragged:
    lengths = np.diff(column.offsets.to_numpy())
    return Ragged(column.flatten().to_numpy(), offsets_of(lengths))
