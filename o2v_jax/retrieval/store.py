"""Where an index is built: in memory, or in files that take more than memory has."""

from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa

from o2v_jax.array_types import Floats
from o2v_jax.retrieval.files import KEYS, VECTORS, VectorFile


class MemoryStore:
    """Keeps everything in memory."""

    def __init__(self, dimensions: int, key_type: pa.DataType) -> None:
        self._vectors = [np.zeros((0, dimensions), np.float32)]
        self._keys: list[pa.Array[Any]] = []
        self._key_type = key_type

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def append(self, vectors: Floats, keys: "pa.Array[Any]") -> None:
        """Keeps them."""
        self._vectors.append(vectors)
        self._keys.append(keys)

    def open(self) -> tuple[Floats, pa.ChunkedArray]:
        """All of them."""
        return np.concatenate(self._vectors), pa.chunked_array(self._keys, self._key_type)


class FileStore:
    """Writes everything to the files of an index in a directory."""

    def __init__(self, directory: Path, dimensions: int, key_type: pa.DataType) -> None:
        self._directory = directory
        self._schema = pa.schema([("key", key_type)])
        self._vectors = VectorFile(directory / VECTORS, dimensions)
        self._keys = pa.ipc.new_file(str(directory / KEYS), self._schema)

    def __enter__(self) -> Self:
        self._vectors.__enter__()
        return self

    def append(self, vectors: Floats, keys: "pa.Array[Any]") -> None:
        """Writes them."""
        self._vectors.append(vectors)
        self._keys.write_batch(pa.record_batch([keys], schema=self._schema))

    def __exit__(self, *error: object) -> None:
        self._vectors.__exit__(*error)
        self._keys.close()

    def open(self) -> tuple[Floats, pa.ChunkedArray]:
        """All of them, memory-mapped."""
        # an array of no rows cannot be mapped
        mode: Literal["r"] | None = "r" if self._vectors.count else None
        vectors = np.load(self._directory / VECTORS, mmap_mode=mode)
        table = pa.ipc.open_file(pa.memory_map(str(self._directory / KEYS))).read_all()
        return vectors, table.column(0)
