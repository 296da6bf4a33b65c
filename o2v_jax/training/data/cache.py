"""The cache of parsed training data: found again by the content of its files, memory-mapped.

An entry is a directory of .npy columns, written under another name and renamed when it is complete.
Nothing is lost when one is removed or damaged, so nothing here waits for the disk or for another
process: what cannot be used is read again, and of two equal entries the second is thrown away.
"""

import hashlib
import io
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from o2v_jax.data.arrow import read_labelled
from o2v_jax.data.file_types import describe_table, is_document, peek_head, require_text
from o2v_jax.data.validate import DOCUMENT
from o2v_jax.errors import InputError
from o2v_jax.staging import open_staging
from o2v_jax.training.data.columns import (
    SUMMARY,
    Columns,
    ColumnWriter,
    Summary,
    map_columns,
    view_columns,
)
from o2v_jax.util import BOM, HashingReader, decompress, translate_read_errors

BLOCK_BYTES = 2**24
MAX_LINE_BYTES = 2**27  # bytes; a line must fit into memory many times over
DAYS_UNUSED = 30  # after which an entry is removed

_FORMAT = b"o2v_jax columns 4"  # another for every change of what columns hold
_ENTRY = re.compile(r"\d+-[0-9a-f]{64}")
_DAY = 24 * 3600

_log = logging.getLogger(__name__)


class CachedColumns(NamedTuple):
    """What was written: its summary, and the key of the files if they were read to the end."""

    summary: Summary
    key: str | None


class Reading:
    """Files to be read, in order.

    Args:
        files: JSON Lines files, compressed by gzip or not; pipes too, which can be read only once.
        stop: called with every part; true if nothing behind it is wanted.
        block_bytes: how much of a file is read at a time.
    """

    def __init__(
        self, files: Sequence[Path], stop: Callable[[Columns], bool], block_bytes: int = BLOCK_BYTES
    ) -> None:
        self.files = files
        self._stop = stop
        self._block_bytes = block_bytes
        self._begun = False

    def write_to(self, create: Callable[[str], BinaryIO]) -> CachedColumns:
        """Reads everything, and writes it to what `create` gives for the name of each column.

        Raises:
            InputError: a file cannot be read, is not JSON Lines, or has a line of more than 128 MB.
            OSError: the columns cannot be written. This may then be called again.
        """
        self._begin()
        writer = ColumnWriter.to(create)
        digests = []
        size = 0
        for number, file in enumerate(self.files):
            with _open(file) as raw:
                reader = HashingReader(raw)
                if self._add_file(writer, number, file, reader):
                    return CachedColumns(writer.close(), None)
            digests.append(reader.digest.digest())
            size += reader.size
        return CachedColumns(writer.close(), _join_key(size, digests))

    def _begin(self) -> None:
        once = next((file for file in self.files if not file.is_file()), None)
        if self._begun and once:
            raise InputError(f"{once}: what was read could not be kept, and it cannot be reread")
        self._begun = True

    def _add_file(
        self, writer: ColumnWriter, number: int, file: Path, reader: HashingReader
    ) -> bool:
        """Adds the records of a file; returns whether nothing behind them is wanted."""
        for first, block in _read_blocks(file, reader, self._block_bytes):
            text = block.removeprefix(BOM) if first == 1 else block
            part = Columns.of(read_labelled(text, first), number)
            writer.add(part)
            if self._stop(part):
                return True
        writer.end_file()
        return False


def read_columns(reading: Reading, cache: Path) -> Columns:
    """The columns of files: from the cache, else read, and kept there if they were read whole.

    Where the cache cannot be written a warning is logged, and they are kept in temporary files;
    where these cannot be written either, in memory.

    Raises:
        InputError: a file cannot be read.
    """
    found = _find_entry(reading, cache)
    if found is not None:
        return found
    ways: tuple[tuple[Callable[[], Columns], str], ...] = (
        (lambda: _read_into_cache(reading, cache), "these data are read into temporary files"),
        (lambda: _read_into_temporary(reading), "these data are read into memory"),
    )
    for way, instead in ways:
        try:
            return way()
        except OSError as error:
            where = error.filename or cache
            _log.warning("%s: cannot be written (%s): %s", where, error.strerror, instead)
    return _read_into_memory(reading)


def find_key_start(files: Sequence[Path]) -> str:
    """How the key of these files begins: quick to know, and often enough to miss the cache."""
    return f"{sum(file.stat().st_size for file in files)}-"


def find_key(files: Sequence[Path]) -> str:
    """The key of the files' content, which names their columns in the cache."""
    digests = []
    size = 0
    for file in files:
        with file.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").digest())
            size += stream.tell()
    return _join_key(size, digests)


def _join_key(size: int, digests: Iterable[bytes]) -> str:
    return f"{size}-{hashlib.sha256(_FORMAT + b''.join(digests)).hexdigest()}"


def _open(file: Path) -> io.FileIO:
    with translate_read_errors(file):
        return file.open("rb", buffering=0)


def _read_blocks(
    file: Path, reader: HashingReader, block_bytes: int
) -> Iterator[tuple[int, bytes]]:
    """Whole lines, with the number of the first of them."""
    first = 1
    rest = b""
    for chunk in _read_chunks(file, reader, block_bytes):
        end = chunk.rfind(b"\n") + 1
        if end:
            block = rest + chunk[:end]
            yield first, block
            first += block.count(b"\n")
            rest = b""
        rest += chunk[end:]
        if len(rest) > MAX_LINE_BYTES:
            reason = f"is longer than {MAX_LINE_BYTES} bytes"
            raise InputError(f"{file}:{first} {reason}: expected JSON Lines, one record a line")
    if rest:
        yield first, rest


def _read_chunks(file: Path, reader: HashingReader, size: int) -> Iterator[bytes]:
    with translate_read_errors(file), io.BufferedReader(reader) as buffered:
        stream = decompress(buffered)
        _require_lines(peek_head(stream), file)
        while chunk := stream.read(size):
            yield chunk


def _require_lines(head: bytes, file: Path) -> None:
    """Refuses what is plainly not JSON Lines, before a line of it is read."""
    require_text(head, str(file))
    if is_document(head):
        raise InputError(f"{file}: is {DOCUMENT}")
    if kind := describe_table(head):
        advice = "JSON Lines are expected: o2v prepare makes them from tables"
        raise InputError(f"{file}: looks like {kind}, but {advice}")


def _find_entry(reading: Reading, cache: Path) -> Columns | None:
    if not all(file.is_file() for file in reading.files):
        return None  # a pipe can be read but once
    try:
        if not any(cache.glob(f"{find_key_start(reading.files)}*")):
            return None
        entry = cache / find_key(reading.files)
    except OSError:
        return None  # reading will say it better
    columns = _open_entry(entry)
    if columns is not None:
        with suppress(OSError):
            (entry / SUMMARY).touch()
    return columns


def _open_entry(entry: Path) -> Columns | None:
    try:
        return map_columns(entry)
    except (OSError, ValueError, InputError):
        return None


def _read_into_cache(reading: Reading, cache: Path) -> Columns:
    cache.mkdir(parents=True, exist_ok=True)
    with open_staging(cache, ".", ".tmp") as directory:  # it is removed, but what is mapped stays
        columns, key = _read_into(reading, directory)
        if key is not None:
            _rename_entry(directory, cache / key)
            _remove_unused(cache)
    return columns


def _read_into_temporary(reading: Reading) -> Columns:
    with open_staging(Path(tempfile.gettempdir()), "o2v_jax-data-", mode=0o700) as directory:
        return _read_into(reading, directory)[0]


def _read_into_memory(reading: Reading) -> Columns:
    buffers: dict[str, BytesIO] = {}
    written = reading.write_to(lambda name: buffers.setdefault(name, BytesIO()))
    return view_columns(buffers, written.summary)


def _read_into(reading: Reading, directory: Path) -> tuple[Columns, str | None]:
    with ExitStack() as stack:
        written = reading.write_to(lambda name: stack.enter_context((directory / name).open("wb")))
    (directory / SUMMARY).write_bytes(msgspec.json.encode(written.summary))
    return map_columns(directory), written.key


def _rename_entry(directory: Path, entry: Path) -> None:
    """Gives a finished entry its name, unless there is a good one of this name."""
    if entry.exists() and _open_entry(entry) is None:
        shutil.rmtree(entry, ignore_errors=True)
    with suppress(OSError):
        directory.rename(entry)


def _remove_unused(cache: Path) -> None:
    for path in cache.iterdir():
        if _ENTRY.fullmatch(path.name) and _count_days_since(path / SUMMARY) > DAYS_UNUSED:
            shutil.rmtree(path, ignore_errors=True)


def _count_days_since(used: Path) -> float:
    try:
        return (time.time() - used.stat().st_mtime) / _DAY
    except OSError:
        return 0.0
