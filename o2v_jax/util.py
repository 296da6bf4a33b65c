"""Files and paths: what every reader and writer of this library does with them alike."""

import gzip
import hashlib
import io
import os
import re
import zlib
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from o2v_jax.errors import InputError

BOM = b"\xef\xbb\xbf"  # the byte order mark of UTF-8: where a text begins, never part of it
GZIP_MAGIC = b"\x1f\x8b"
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


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def decompress(stream: BinaryIO) -> BinaryIO:
    """Decompresses a stream if its first bytes are those of gzip, whatever its name.

    Args:
        stream: a buffered stream at its beginning: an open file, or standard input's buffer.

    Returns:
        The stream itself, or one of its decompressed content. Reading from that raises EOFError,
        zlib.error or gzip.BadGzipFile where the data is damaged.
    """
    if cast("io.BufferedReader", stream).peek(len(GZIP_MAGIC))[: len(GZIP_MAGIC)] != GZIP_MAGIC:
        return stream
    return cast("BinaryIO", io.BufferedReader(gzip.GzipFile(fileobj=stream)))


def discard(stream: TextIO) -> bool:
    """Redirects a stream to nowhere, with what it still holds; returns whether it is a file."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # it is in memory, or closed
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
    return True
