"""Items to index: a column of a table in slices, each cell as token ids or as an encoding."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from o2v_jax.arguments import require_instance, require_path
from o2v_jax.array_types import Floats, Index
from o2v_jax.checkpoint import Model
from o2v_jax.data.arrow import is_list_type, is_text_type
from o2v_jax.data.ragged import Ragged, offsets_of
from o2v_jax.data.sequences import flat
from o2v_jax.data.tokenizers import Tokenizer
from o2v_jax.data.validate import describe_outside, find_outside
from o2v_jax.errors import InputError, RecordError
from o2v_jax.preparation.read.tables import Layout, read_table
from o2v_jax.preparation.rows import Cells, Rows
from o2v_jax.preparation.skipped_rows import SkippedRows
from o2v_jax.retrieval.keys import find_repeated, hash_keys

Side: TypeAlias = Literal["in0", "in1"]
Where: TypeAlias = Callable[[int], str]

_EMPTY = "the cell is empty"


class ItemSlice(NamedTuple):
    """Some items of an index, one after the other.

    Attributes:
        keys: texts or int64.
        objects: token ids in the vocabulary, or encodings float32 `[items, enc_dim]`.
        where: tells where an item stood, for messages.
    """

    keys: "pa.Array[Any]"
    objects: Ragged | Floats
    where: Where


@dataclass(frozen=True)
class ItemTable:
    """A column of a Parquet, CSV, TSV or JSON Lines file, or of a folder of such files.

    A cell is what the model's tokenizer of the side takes. Lists of integers are token ids, lists
    of `enc_dim` floating-point numbers encodings. Of a model without tokenizers a text holds token
    ids between blanks.

    Attributes:
        path: the file or folder.
        column: its column of values, by name or by number from 0.
        key: its column of keys, which are taken as texts; None: rows are numbered from 0.
        layout: how files are read.

    Raises:
        InputError: an argument is of another type, or the path is a URL.
    """

    path: str | Path
    column: str
    key: str | None = None
    layout: Layout = field(default_factory=Layout)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", require_path("path", self.path))
        require_instance("column", self.column, str, "the name of a column")
        require_instance("key", self.key, (str, type(None)), "the name of a column, or None")
        require_instance("layout", self.layout, Layout, "a Layout")

    def check_keys(self) -> None:
        """Reads all keys once, so that a wrong one is found before anything is encoded.

        Raises:
            RecordError: a key is empty, or occurs twice; names the rows.
            InputError: the file cannot be read or lacks the column.
        """
        if self.key is None:
            return
        hashes = [np.zeros(0, np.int64)]
        for rows in self._read_rows([self.key]):
            if is_list_type(rows.columns[0].type):
                raise InputError(f"{self.path}: column {self.key} holds lists, which are no keys")
            _require_filled(self.key, rows, rows.columns[0])
            hashes.append(hash_keys(rows.columns[0]))
        for positions in find_repeated(np.concatenate(hashes)):
            self._refuse_repeated(self.key, positions)

    def read(self, side: Literal[0, 1], model: Model) -> Iterator[ItemSlice]:
        """The items, a few thousand at a time.

        Raises:
            RecordError: a cell is wrong; names the file and the row.
            InputError: the file cannot be read or lacks a column.
        """
        tokenizer = Tokenizer("ids") if model.tokenizers is None else model.tokenizers[side]
        size, enc_dim = model.config.vocab_sizes[side], model.config.enc_dim
        reader = CellReader(self.column, tokenizer, size, enc_dim)
        first = 0
        for rows in self._read_rows([self.column, *([] if self.key is None else [self.key])]):
            keys = rows.columns[1] if self.key else pa.array(range(first, first + len(rows)))
            yield ItemSlice(keys, reader.read(rows), _make_where(rows))
            first += len(rows)

    def read_whole(self, side: Literal[0, 1], model: Model) -> Ragged | Floats:
        """All objects at once, as of queries: without keys.

        Raises:
            RecordError, InputError: as for `read`.
        """
        parts = [part.objects for part in self.read(side, model)]
        if all(isinstance(part, Ragged) for part in parts):
            return Ragged.concatenate([part for part in parts if isinstance(part, Ragged)])
        return np.concatenate([part for part in parts if not isinstance(part, Ragged)])

    def _read_rows(self, columns: list[str]) -> Iterator[Rows]:
        return read_table(Path(self.path), columns, self.layout, SkippedRows())

    def _refuse_repeated(self, name: str, positions: Index) -> None:
        """Refuses the first key of these rows, all of the same hash, that occurs twice."""
        wanted, first = {*positions.tolist()}, 0
        seen: dict[str, str] = {}
        for rows in self._read_rows([name]):
            for row in sorted(wanted.intersection(range(first, first + len(rows)))):
                key, where = rows.columns[0][row - first].as_py(), _make_where(rows)(row - first)
                if key in seen:
                    reason = (
                        f"{name!r} is {key[:60]!r}, as at {seen[key]}: each key must be another"
                    )
                    raise RecordError(where, reason)
                seen[key] = where
            first += len(rows)


class CellReader:
    """Makes token ids, or encodings, of cells.

    Args:
        column: what it is called in messages.
        tokenizer: of the side.
        vocab_size: of the side.
        enc_dim: of the model.
    """

    def __init__(self, column: str, tokenizer: Tokenizer, vocab_size: int, enc_dim: int) -> None:
        self._column = column
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._enc_dim = enc_dim

    def read(self, rows: Rows) -> Ragged | Floats:
        """The objects of the first column of some rows.

        Raises:
            RecordError: a cell is empty or wrong; says where.
        """
        cells = rows.columns[0]
        _require_filled(self._column, rows, cells)
        where = _make_where(rows)
        if not is_list_type(cells.type) or is_text_type(cells.type.value_type):
            return self._tokenize(cells, where)
        if not _is_number(cells.type.value_type):
            found = f"holds lists of {cells.type.value_type}"
            self._refuse(where, 0, f"{found}, which are neither ids, tokens nor encodings")
        lengths = cells.value_lengths().to_numpy().astype(np.int64)
        values = cells.flatten()
        if values.null_count:
            at = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
            self._refuse(where, _find_row(lengths, at), "a number is missing in the list")
        numbers = values.to_numpy(zero_copy_only=False)
        if numbers.dtype.kind == "f":
            return self._require_encodings(numbers, lengths, where)
        return self._require_ids(numbers, lengths, where)

    def _tokenize(self, cells: Cells, where: Where) -> Ragged:
        found: list[list[int]] = []
        try:
            for ids in self._tokenizer.encode_each(cells.to_pylist()):
                found.append(ids)  # noqa: PERF402 - its length tells which cell is wrong
        except InputError as error:
            self._refuse(where, len(found), str(error))
        given = flat(found)
        return self._require_ids(given.values, given.lengths, where)

    def _require_ids(self, ids: Any, lengths: Index, where: Where) -> Ragged:
        if not lengths.all():
            self._refuse(where, int(lengths.argmin()), "holds no token that the model knows")
        for at in find_outside(ids, self._vocab_size)[:1].tolist():
            reason = describe_outside(int(ids[at]), self._vocab_size)
            self._refuse(where, _find_row(lengths, at), reason)
        return Ragged(ids, offsets_of(lengths))

    def _require_encodings(self, numbers: Any, lengths: Index, where: Where) -> Floats:
        wrong = np.flatnonzero(lengths != self._enc_dim)
        if len(wrong):
            reason = f"an encoding has {self._enc_dim} numbers, but this has {lengths[wrong[0]]}"
            self._refuse(where, int(wrong[0]), reason)
        encodings: Floats = numbers.reshape(-1, self._enc_dim).astype(np.float32)
        return encodings

    def _refuse(self, where: Where, row: int, reason: str) -> None:
        raise RecordError(where(row), f"{self._column!r}: {reason}")


def slice_items(objects: Ragged | Floats, keys: "pa.Array[Any]", size: int) -> Iterator[ItemSlice]:
    """Items that a caller holds, `size` at a time."""
    for start in range(0, len(objects), size):
        rows = np.arange(start, min(start + size, len(objects)))
        some = objects.take(rows) if isinstance(objects, Ragged) else objects[rows]
        yield ItemSlice(keys[start : start + size], some, _number_from(start))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _number_from(start: int) -> Where:
    return lambda row: f"item {start + row}"


def _make_where(rows: Rows) -> Where:
    return lambda row: rows.places.format(rows.numbers[row])


def _require_filled(column: str, rows: Rows, cells: Cells) -> None:
    """Checks that no cell is empty.

    Raises:
        RecordError: the first one that is.
    """
    if is_list_type(cells.type):
        empty = cells.value_lengths().fill_null(0).to_numpy() == 0
    else:
        empty = np.fromiter((not text.strip() for text in cells.to_pylist()), np.bool_, len(cells))
    if empty.any():
        raise RecordError(_make_where(rows)(int(empty.argmax())), f"{column!r}: {_EMPTY}")


def _find_row(lengths: Index, at: int) -> int:
    """The row that holds the number at this position of all rows' numbers."""
    return int(np.searchsorted(np.cumsum(lengths), at, side="right"))
