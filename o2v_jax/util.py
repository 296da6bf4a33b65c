"""Paths, gzip, texts, digests, and quiet loggers."""

import gzip
import hashlib
import io
import logging
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from o2v_jax.errors import InputError

BOM = b"\xef\xbb\xbf"  # the byte order mark of UTF-8: where a text begins, never part of it
_GZIP_MAGIC = b"\x1f\x8b"
GZIP_ERRORS = EOFError, zlib.error, gzip.BadGzipFile  # what reading damaged data raises
# a scheme has two letters at least: C:/data is a path. pathlib makes s3:/b of s3://b
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def require_local(path: str | os.PathLike[str]) -> None:
    """Checks that a path is not a URL: `s3://bucket/out` would become a folder named `s3:`.

    Raises:
        InputError: it is a URL, which is shown as it was given.

    >>> require_local("data/train.jsonl")
    """
    text = os.fspath(path)
    if _URL.match(text):
        url = text if "://" in text else text.replace(":/", "://", 1)
        raise InputError(f"{url} is a URL, but a path on this machine is expected")


def require_all_local(*paths: str | os.PathLike[str] | None) -> None:
    """Checks that none of these is a URL; what is None is left out.

    Raises:
        InputError: the first one that is.
    """
    for path in paths:
        if path is not None:
            require_local(path)


def decompress(stream: BinaryIO) -> BinaryIO:
    """Decompresses a stream if its first bytes are those of gzip, whatever its name.

    Args:
        stream: a buffered stream at its beginning: an open file, or standard input's buffer.

    Returns:
        The stream itself, or one of its decompressed content. Reading from that raises EOFError,
        zlib.error or gzip.BadGzipFile where the data is damaged.
    """
    if not is_gzip(cast("io.BufferedReader", stream).peek(len(_GZIP_MAGIC))):
        return stream
    return cast("BinaryIO", io.BufferedReader(gzip.GzipFile(fileobj=stream)))


def is_gzip(head: bytes) -> bool:
    """Whether these are the first bytes of gzip data."""
    return head.startswith(_GZIP_MAGIC)


@contextmanager
def translate_read_errors(name: object) -> Iterator[None]:
    """Within the block, an error of reading a file becomes an InputError that names the file.

    Raises:
        InputError: gzip data is damaged, or the operating system refuses to read.
    """
    try:
        yield
    except GZIP_ERRORS as error:
        raise InputError(f"{name}: is damaged gzip ({error})") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({describe_os_error(error)})") from error


def describe_os_error(error: OSError) -> str:
    """The reason that the operating system gives, without a path."""
    return error.strerror or str(error) or type(error).__name__


def get_first_line(error: Exception) -> str:
    r"""The first line of an error's message, 200 characters at most; its type if it has none.

    >>> get_first_line(ValueError("too long\nin detail")), get_first_line(ValueError())
    ('too long', 'ValueError')
    """
    return str(error).partition("\n")[0][:200] or type(error).__name__


def is_unicode(text: str) -> bool:
    """Whether a text holds no half of a surrogate pair, so that UTF-8 can express it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def hash_bytes(data: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HashingReader(io.RawIOBase):
    """A stream whose bytes go into a digest as they are read. Closing it leaves the stream open.

    Attributes:
        digest: the SHA-256 of what was read.
        size: how many bytes that is.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads into a buffer of bytes, and hashes what it reads."""
        count = self._stream.readinto(buffer) or 0
        self.digest.update(memoryview(buffer)[:count])
        self.size += count
        return count


def discard_output(stream: TextIO) -> bool:
    """Redirects a stream, and what it has buffered, to nowhere; returns whether it is a file."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # it is in memory, or closed
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
    return True


@contextmanager
def silence_logger(name: str) -> Iterator[None]:
    """Within the block, the logger of that name logs errors alone."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
