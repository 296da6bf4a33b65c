"""Lines of bounded size, in chunks of bounded size."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import BinaryIO

from o2v_jax.constants import MIB
from o2v_jax.data.records import at_line
from o2v_jax.errors import O2VError, RecordError
from o2v_jax.util import BOM, translate_read_errors

MAX_RECORD_BYTES = 6 * MIB  # as batch transform has it: a record is a payload at most
CHUNK_BYTES = 8 * MIB  # ids are ten times as large while they are Python objects


def read_bounded_lines(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The lines of a file.

    Raises:
        RecordError: a line is longer than 6 MiB; no more of it is read.
        InputError: the file cannot be read, or its gzip is damaged.
    """
    lines = iter(partial(stream.readline, MAX_RECORD_BYTES + 1), b"")
    with translate_read_errors(name):
        for number, line in enumerate(lines, start=1):
            if len(line) > MAX_RECORD_BYTES:
                reason = f"is longer than a record may be ({MAX_RECORD_BYTES // MIB} MiB)"
                raise RecordError(at_line(name, number), f"{reason}: expected one record a line")
            yield line


def split_chunks(lines: Iterable[bytes], most: int) -> Iterator[tuple[int, list[bytes]]]:
    """Up to `most` lines at a time, fewer if they are long, with the number of the first of them.

    A byte order mark in front is left out. If reading fails, the lines before that come first.
    """
    source, first = iter(lines), 1
    failure = None
    while failure is None:
        chunk, failure = _read_chunk(source, most)
        if first == 1 and chunk:
            chunk[0] = chunk[0].removeprefix(BOM)
        if chunk:
            yield first, chunk
        elif failure is None:
            return
        first += len(chunk)
    raise failure


def _read_chunk(source: Iterator[bytes], most: int) -> tuple[list[bytes], O2VError | None]:
    chunk, size = list[bytes](), 0
    try:
        for line in source:
            chunk.append(line)
            size += len(line)
            if len(chunk) >= most or size >= CHUNK_BYTES:
                break
    except O2VError as error:
        return chunk, error
    return chunk, None
