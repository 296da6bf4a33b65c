"""Lines of text files, plain or gzipped; files of other kinds are refused by their first bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from o2v_jax.data.file_types import PARQUET_NAME, identify_file_type, peek_head
from o2v_jax.errors import InputError, RecordError
from o2v_jax.util import BOM, decompress, translate_read_errors

LONGEST_LINE = 2**26  # bytes; a line is held in memory
CONVERT = "convert the file to UTF-8 (iconv -f ENCODING -t UTF-8)"


@contextmanager
def open_lines(file: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a file, each with its end, without a byte order mark.

    Args:
        file: gzip is recognized by its first bytes, not by the name.

    Raises:
        InputError: the file is of another kind, or cannot be read.
        RecordError: a line is longer than 64 MiB.
    """
    with translate_read_errors(file), file.open("rb") as packed:
        stream = decompress(packed)
        if kind := describe_kind(peek_head(stream)):
            raise InputError(f"{file}: {kind}")
        yield _read_lines(file, stream)


def describe_kind(head: bytes) -> str | None:
    """What a file is that begins so, and what to do about it; None: perhaps text."""
    kind = identify_file_type(head)
    if kind is None:
        return None
    remedy = "give --format parquet" if kind.name == PARQUET_NAME else kind.remedy
    return f"is {kind.name}: {remedy}" if remedy else f"is {kind.name}"


def _read_lines(file: Path, stream: BinaryIO) -> Iterator[bytes]:
    lines = iter(partial(stream.readline, LONGEST_LINE + 1), b"")
    first = next(lines, b"").removeprefix(BOM)
    for number, line in enumerate(chain([first] if first else [], lines), 1):
        if len(line) > LONGEST_LINE:
            raise RecordError(f"{file}:{number}", f"the line is longer than {LONGEST_LINE:,} bytes")
        yield line
