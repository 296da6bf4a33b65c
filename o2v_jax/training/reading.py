"""Files -> columns, a block at a time."""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from o2v_jax.data.kinds import head_of, is_document, require_text, table_kind
from o2v_jax.data.labelled import read_labelled
from o2v_jax.data.validate import DOCUMENT
from o2v_jax.errors import InputError
from o2v_jax.training.data.columns import Columns, ColumnWriter, Summary
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
