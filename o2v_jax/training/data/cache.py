"""Columns are read once: by the content of their files they are found again, memory-mapped.

An entry is a directory, written under another name and renamed when it is complete. Nothing is
lost when one is removed or damaged, so nothing here waits for the disk or for another process: what
cannot be used is read again, and who comes second with the same entry throws it away.
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
from typing import Any, BinaryIO, NamedTuple

import msgspec

from o2v_jax.atomic import staging
from o2v_jax.data.arrow import read_labelled
from o2v_jax.data.kinds import head_of, is_document, require_text, table_kind
from o2v_jax.data.validate import DOCUMENT
from o2v_jax.errors import InputError
from o2v_jax.training.data.columns import SUMMARY, Columns, ColumnWriter, Summary, in_memory, mapped
from o2v_jax.util import BOM, GZIP_ERRORS, decompress

BLOCK_BYTES = 2**24
LONGEST_LINE = 2**27  # bytes; a line must fit into memory many times over
_FORMAT = b"o2v_jax columns 2"  # another for every change of what columns hold


class Written(NamedTuple):
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
        self._stop, self._block_bytes, self._begun = stop, block_bytes, False

    def into(self, create: Callable[[str], BinaryIO]) -> Written:
        """Reads everything, and writes it to what `create` gives for the name of each column.

        Raises:
            InputError: a file cannot be read, is no JSON Lines, or has a line of more than 128 MB.
            OSError: the columns cannot be written. This may then be called again.
        """
        writer = ColumnWriter.to(create)
        self._begin()
        digests, size = [], 0
        for number, file in enumerate(self.files):
            raw = _Hashed(file)
            for first, block in _blocks(file, raw, self._block_bytes):
                part = Columns.of(read_labelled(_without_bom(block, first), first), number)
                writer.add(part)
                if self._stop(part):
                    return Written(writer.summary, None)
            writer.end_file()
            digests.append(raw.digest.digest())
            size += raw.size
        return Written(writer.summary, _key(size, digests))

    def _begin(self) -> None:
        once = next((file for file in self.files if not file.is_file()), None)
        if self._begun and once:
            raise InputError(f"{once}: what was read could not be kept, and it cannot be reread")
        self._begun = True


def key_start(files: Sequence[Path]) -> str:
    """How the key of these files begins: quick to know, and often enough to miss the cache."""
    return f"{sum(file.stat().st_size for file in files)}-"


def key_of(files: Sequence[Path]) -> str:
    """The key of the files' content, which names their columns in the cache."""
    digests, size = [], 0
    for file in files:
        with file.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").digest())
            size += stream.tell()
    return _key(size, digests)


def _key(size: int, digests: Iterable[bytes]) -> str:
    return f"{size}-{hashlib.sha256(_FORMAT + b''.join(digests)).hexdigest()}"


def _without_bom(block: bytes, first: int) -> bytes:
    return block.removeprefix(BOM) if first == 1 else block


class _Hashed(io.RawIOBase):
    """A file's bytes as they are read, which name its columns in the cache.

    Attributes:
        digest: of what was read.
        size: how many bytes that is.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.digest, self.size = hashlib.sha256(), 0
        try:
            self._stream = file.open("rb", buffering=0)
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from error

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads, and hashes what it reads."""
        count = self._stream.readinto(buffer) or 0
        self.digest.update(memoryview(buffer)[:count])
        self.size += count
        return count

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()
        super().close()


def _blocks(file: Path, raw: _Hashed, block_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines, with the number of the first of them."""
    first, rest = 1, b""
    for chunk in _chunks(file, raw, block_bytes):
        end = chunk.rfind(b"\n") + 1
        if end:
            block = rest + chunk[:end]
            yield first, block
            first, rest = first + block.count(b"\n"), b""
        rest += chunk[end:]
        if len(rest) > LONGEST_LINE:
            reason = f"is longer than {LONGEST_LINE} bytes: expected JSON Lines, one record a line"
            raise InputError(f"{file}:{first} {reason}")
    if rest:
        yield first, rest


def _chunks(file: Path, raw: _Hashed, size: int) -> Iterator[bytes]:
    try:
        with io.BufferedReader(raw) as buffered:
            stream = decompress(buffered)
            _require_lines(head_of(stream), file)
            while chunk := stream.read(size):
                yield chunk
    except GZIP_ERRORS as error:
        raise InputError(f"{file}: is damaged gzip ({error})") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error


def _require_lines(head: bytes, file: Path) -> None:
    """Refuses what is plainly no JSON Lines, before a line of it is read."""
    require_text(head, str(file))
    if is_document(head):
        raise InputError(f"{file}: is {DOCUMENT}")
    if kind := table_kind(head):
        reason = f"looks like {kind}, but JSON Lines are expected: o2v prepare makes them of tables"
        raise InputError(f"{file}: {reason}")


DAYS_UNUSED = 30  # after which an entry is removed
_DAYS_UNFINISHED = 2
_ENTRY = re.compile(r"\d+-[0-9a-f]{64}")
_UNFINISHED = re.compile(r"\.[0-9a-f]{32}\.tmp")  # of earlier versions, which held no lock
_DAY = 24 * 3600

_log = logging.getLogger(__name__)


def read_columns(reading: Reading, cache: Path) -> Columns:
    """The columns of files: from the cache, else read, and kept there if they were read whole.

    Where the cache cannot be written a warning is logged, and they are kept in temporary files;
    where these cannot be written either, in memory.

    Raises:
        InputError: a file cannot be read.
    """
    found = _found(reading, cache)
    if found is not None:
        return found
    ways: tuple[tuple[Callable[[], Columns], str], ...] = (
        (lambda: _cached(reading, cache), "these data are read into temporary files"),
        (lambda: _temporary(reading), "these data are read into memory"),
    )
    for way, instead in ways:
        try:
            return way()
        except OSError as error:
            where = error.filename or cache
            _log.warning("%s: cannot be written (%s): %s", where, error.strerror, instead)
    return _in_memory(reading)


def _found(reading: Reading, cache: Path) -> Columns | None:
    if not all(file.is_file() for file in reading.files):
        return None  # a pipe can be read but once
    try:
        if not any(cache.glob(f"{key_start(reading.files)}*")):
            return None
        entry = cache / key_of(reading.files)
    except OSError:
        return None  # reading will say it better
    columns = _opened(entry)
    if columns is not None:
        with suppress(OSError):
            (entry / SUMMARY).touch()
    return columns


def _opened(entry: Path) -> Columns | None:
    try:
        return mapped(entry)
    except (OSError, ValueError, InputError):
        return None


def _cached(reading: Reading, cache: Path) -> Columns:
    cache.mkdir(parents=True, exist_ok=True)
    with staging(cache, ".", ".tmp") as directory:  # it is removed, but what is mapped stays
        columns, key = _written(reading, directory)
        if key is not None:
            _give_name(directory, cache / key)
            _remove_unused(cache)
    return columns


def _temporary(reading: Reading) -> Columns:
    with staging(Path(tempfile.gettempdir()), "o2v_jax-data-", mode=0o700) as directory:
        return _written(reading, directory)[0]


def _in_memory(reading: Reading) -> Columns:
    buffers: dict[str, BytesIO] = {}
    written = reading.into(lambda name: buffers.setdefault(name, BytesIO()))
    return in_memory(buffers, written.summary)


def _written(reading: Reading, directory: Path) -> tuple[Columns, str | None]:
    with ExitStack() as stack:
        written = reading.into(lambda name: stack.enter_context((directory / name).open("wb")))
    (directory / SUMMARY).write_bytes(msgspec.json.encode(written.summary))
    return mapped(directory), written.key


def _give_name(directory: Path, entry: Path) -> None:
    """Renames a finished entry, unless there is a good one of this name."""
    if entry.exists() and _opened(entry) is None:
        shutil.rmtree(entry, ignore_errors=True)
    with suppress(OSError):
        directory.rename(entry)


def _remove_unused(cache: Path) -> None:
    for path in cache.iterdir():
        if _ENTRY.fullmatch(path.name):
            _remove_after(DAYS_UNUSED, path, path / SUMMARY)
        elif _UNFINISHED.fullmatch(path.name):
            _remove_after(_DAYS_UNFINISHED, path, path)


def _remove_after(days: int, path: Path, used: Path) -> None:
    try:
        age = time.time() - used.stat().st_mtime
    except OSError:
        age = 0.0
    if age > days * _DAY:
        shutil.rmtree(path, ignore_errors=True)
