"""Reads a file in parts of bounded size, each of whole payloads, from any of them on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from o2v_jax.transform.read.sources import open_source, show_path
from o2v_jax.transform.settings import FileSettings
from o2v_jax.util import BOM, decompress, translate_read_errors

PART_BYTES = 2**23  # a part has at least one payload; more would be lost by a kill
_AT_A_TIME = 2**20


class Position(NamedTuple):
    """How far a file has been read.

    Attributes:
        offset: bytes of its content.
        lines: of it.
        read: bytes of the file, compressed if it is.
        final: whether that is all of it.
    """

    offset: int = 0
    lines: int = 0
    read: int = 0
    final: bool = False


class Part(NamedTuple):
    """Consecutive payloads.

    Attributes:
        texts: one payload each; or, where every line is one, any lines.
        line: the number of the first line, from 1.
        end: where the part ends.
        batch: instead of texts, rows of a Parquet file; lines are rows then.
    """

    texts: list[bytes]
    line: int
    end: Position
    batch: Any = None


def read_parts(path: Path, settings: FileSettings, start: Position) -> Iterator[Part]:
    """The parts of a file behind `start`; the last one's end is final, and it may be empty.

    Parts depend on the file and the settings alone, so that a resumed run finds the same ones.

    Raises:
        InputError: the file cannot be read.
    """
    with translate_read_errors(show_path(path)), open_source(path) as raw:
        stream = decompress(raw)
        stream.seek(start.offset)
        yield from _Cutter(raw, stream, settings, start).cut()


class _Cutter:
    """Cuts what is read behind a position."""

    def __init__(
        self, raw: BinaryIO, stream: BinaryIO, settings: FileSettings, start: Position
    ) -> None:
        self._raw = raw
        self._stream = stream
        self._settings = settings
        self._offset = start.offset
        self._lines = start.lines
        self._rest = b""
        payload = settings.longest or PART_BYTES
        self._size = payload if not settings.alone else max(payload, PART_BYTES)

    def cut(self) -> Iterator[Part]:
        """All parts to the end of the file."""
        final = False
        while not final:
            texts = list[bytes]()
            size = 0
            line = self._lines + 1
            while not final and (not texts or size + self._size <= PART_BYTES):
                text, final = self._read_lines() if self._settings.by_line else self._read_whole()
                texts.append(text)
                size += len(text)
            read = self._raw.tell() - (0 if self._stream is not self._raw else len(self._rest))
            yield Part(texts, line, Position(self._offset, self._lines, read, final))

    def _read_whole(self) -> tuple[bytes, bool]:
        """The file, or as much of it as shows that it is too long."""
        longest = self._settings.longest
        text = self._stream.read(-1 if longest is None else longest + len(BOM) + 1)
        self._offset += len(text)
        return text.removeprefix(BOM), True

    def _read_lines(self) -> tuple[bytes, bool]:
        """The next lines, as many as are within the size, and whether they are the last."""
        self._rest += self._stream.read(self._size + 1 - len(self._rest))
        if self._offset == 0 and self._rest.startswith(BOM):
            self._rest = self._rest[len(BOM) :]
            self._offset = len(BOM)
            return self._read_lines()
        if len(self._rest) <= self._size:
            text = self._rest
            self._rest = b""
            return self._count_read(text, len(text)), True
        end = self._rest.rfind(b"\n", 0, self._size) + 1
        if not end:
            return self._read_long_line()
        text = self._rest[:end]
        self._rest = self._rest[end:]
        return self._count_read(text, end), False

    def _read_long_line(self) -> tuple[bytes, bool]:
        """A line longer than the size; of one longer than a payload only so much as shows it."""
        longest = self._settings.longest
        pieces = [self._rest]
        size = len(self._rest)
        kept = size
        self._rest = b""
        ended = pieces[0].endswith(b"\n")
        while not ended and (more := self._stream.readline(_AT_A_TIME)):
            size = size + len(more)
            ended = more.endswith(b"\n")
            if longest is None or kept <= longest:
                pieces.append(more)
                kept += len(more)
        end = b"\n" if ended and not pieces[-1].endswith(b"\n") else b""
        return self._count_read(b"".join(pieces) + end, size), False

    def _count_read(self, text: bytes, size: int) -> bytes:
        self._offset += size
        self._lines += text.count(b"\n")
        return text
