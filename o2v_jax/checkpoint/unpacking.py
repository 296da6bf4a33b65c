"""Unpacking a model.tar.gz that is not trusted."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import gettempdir
from typing import BinaryIO, Protocol, cast

from o2v_jax.arguments import show
from o2v_jax.errors import CheckpointError
from o2v_jax.staging import open_staging
from o2v_jax.util import decompress

MAX_ARCHIVE_BYTES = 64 * 2**30  # two embedding tables of the largest size are 24e9 bytes
_MAX_MEMBERS = 10_000
_MAX_DEPTH = 32  # of folders and a name: removing them recurses
_MAX_HEADER_BYTES = 2**16  # headers are read into memory, and their names parsed
_MAX_TRAILER_BYTES = 2**24  # tar pads an archive with zeros up to its record size
_BROKEN = (
    tarfile.TarError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
    zlib.error,
)


@contextmanager
def unpack_archive(path: Path, max_bytes: int) -> Iterator[Path]:
    """Unpacks an archive for the time of the block and yields the folder with its contents.

    Only files and folders are unpacked, only below a new temporary directory, and with plain
    permissions (set-user-id bits are dropped).

    Raises:
        CheckpointError: the archive is broken or too large, or one of its members has an absolute
            path, one of many folders or "..", or is a link or a device.
    """
    with open_staging(Path(gettempdir()), "o2v_jax-", mode=0o700) as scratch:
        _unpack(path, scratch, max_bytes)
        yield scratch


def is_archive(path: Path) -> bool:
    """Whether a file begins as a tar archive does, compressed or not. No more of it is read.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with _open_decompressed(path) as source:
            tarfile.TarInfo.frombuf(source.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error):
        return False
    return True


def _unpack(path: Path, target: Path, max_bytes: int) -> None:
    member = None
    try:
        with _open_decompressed(path) as source:
            metered = _Metered(source)
            with tarfile.open(fileobj=cast("BinaryIO", metered), mode="r|") as archive:
                for count, member in enumerate(archive):
                    max_bytes -= member.size
                    _check_member(member, count, max_bytes)
                    metered.left = member.size + _MAX_HEADER_BYTES
                    archive.extract(member, target, filter="data")
                    metered.left = _MAX_HEADER_BYTES
            metered.drain()
    except _BROKEN as error:
        where = f"at its member {show(member.name)}" if member else "from its beginning"
        reason = getattr(error, "strerror", None) or error  # without a path in the scratch folder
        raise CheckpointError(path, [f"cannot be unpacked {where}: {reason}"]) from error


def _check_member(member: tarfile.TarInfo, count: int, left: int) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise tarfile.TarError('only relative paths without ".." are accepted')
    if len(name.parts) > _MAX_DEPTH:
        raise tarfile.TarError(f"it is in more than {_MAX_DEPTH - 1} folders")
    if not (member.isreg() or member.isdir()):
        kind = "link" if member.issym() or member.islnk() else "device"
        raise tarfile.TarError(f"it is a {kind}, but only files and folders are accepted")
    if member.size < 0 or left < 0:
        raise tarfile.TarError("it makes the contents larger than max_archive_bytes allows")
    if count >= _MAX_MEMBERS:
        raise tarfile.TarError(f"there are more than {_MAX_MEMBERS} members")


@contextmanager
def _open_decompressed(path: Path) -> Iterator["_Readable"]:
    with path.open("rb") as file:
        yield decompress(file)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Metered:
    """A stream with a limit on its bytes, however much was compressed."""

    def __init__(self, stream: _Readable) -> None:
        self.stream = stream
        self.left = _MAX_HEADER_BYTES

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise tarfile.ReadError("it is followed by more bytes than its headers announce")
        return data

    def drain(self) -> None:
        """Reads on to the end, where gzip's checksum is."""
        self.left = _MAX_TRAILER_BYTES
        while self.read(2**16):
            pass
