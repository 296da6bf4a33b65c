"""Word vectors in text files: GloVe's layout and word2vec's, plain or gzip-compressed.

GloVe writes one line a word, "word v1 ... vn"; word2vec's text format and fastText's .vec files
have a first line "count n" before that. Files of many gigabytes are read line by line.
"""

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Ids
from o2v_jax.errors import InputError
from o2v_jax.util import BOM, decompress

_LONGEST_LINE = 2**20  # bytes read at once, fifty times what 1000 numbers take: data may be binary
_HEADER = re.compile(rb"([0-9]+)[ \t]+([0-9]+)")
_NUMBERS = re.compile(rb"( [+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?)+")
_INTEGERS = re.compile(rb"[ +\-0-9]*")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def read_vectors(
    file: Path, wanted: Mapping[str, int], dim: int, *, expected: str = ""
) -> tuple[Ids, npt.NDArray[np.float32]]:
    """Reads the vectors of some words; only these are kept in memory.

    Words match exactly, case included, because it is the vocabulary that says how words are spelt.
    The last `dim` fields of a line are its numbers, so a word may hold blanks; but a word followed
    by decimal numbers is a line of too many. Of a repeated word the first line counts. Every line's
    number of fields is checked, and the numbers of those that are kept; blank lines are skipped.
    Bytes that are not UTF-8 match no word.

    Args:
        file: text in GloVe's or word2vec's layout; its first bytes say whether it is compressed.
        wanted: word -> token id.
        dim: numbers of each word.
        expected: what asks for this `dim`, for messages, such as "enc0_token_embedding_dim=300".

    Returns:
        The ids of the words found, int32 `[n]`, and their vectors, float32 `[n, dim]`, in the
        order of the file.

    Raises:
        InputError: the file cannot be read, is not text, is empty or cut off, or a line of it has
            a wrong number of fields or something else than finite numbers.
    """
    source = _VectorFile(file, dim, expected or f"dim={dim}")
    left = {word.encode(errors="surrogatepass"): index for word, index in wanted.items()}
    ids, numbers = [], bytearray()
    for line in source.read_lines():
        index = left.pop(line.word, None)
        if index is not None:
            ids.append(index)
            numbers += source.parse_row(line).tobytes()
    return np.array(ids, np.int32), np.frombuffer(numbers, np.float32).reshape(-1, dim)


def read_first_words(file: Path, dim: int, count: int) -> list[str]:
    """The first words of a file that `read_vectors` reads."""
    lines = _VectorFile(file, dim, f"dim={dim}").read_lines()
    return [line.word.decode(errors="replace") for line in islice(lines, count)]


class _Line(NamedTuple):
    """One word's line: its number in the file, the word, and its numbers with blanks between."""

    number: int
    word: bytes
    numbers: bytes


@dataclass(frozen=True)
class _VectorFile:
    path: Path
    dim: int
    expected: str

    def read_lines(self) -> Iterator[_Line]:
        """Every word's line; a header's promises are checked."""
        with _open(self.path) as stream:
            texts = self._read_texts(stream)
            first = next(texts, None)
            if first is None:
                raise InputError(f"{self.path.name} is empty: it must hold word vectors")
            if b"\0" in first[1]:  # UTF-16 has the right number of blanks
                raise self._explain_binary(1)
            header = _HEADER.fullmatch(first[1])
            if header:
                yield from self._read_below_header(texts, *map(int, header.groups()))
            else:
                yield from map(self._split_line, chain([first], texts))

    def parse_row(self, line: _Line) -> npt.NDArray[np.float32]:
        """The numbers of a line, float32 `[dim]`."""
        plain = line.numbers.replace(b"_", b"x")  # Python reads 1_000, nobody else does
        with np.errstate(over="ignore"), suppress(ValueError):
            row = np.array([*map(float, plain.split(b" "))], np.float32)
            if np.isfinite(row).all():
                return row
        fault = next(filter(None, map(_find_fault, line.numbers.split(b" "))))
        raise self._make_error(line.number, fault)

    def _read_texts(self, stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """Line numbers from 1 and lines, without what ends them; none that is blank."""
        for number, text in enumerate(iter(partial(stream.readline, _LONGEST_LINE), b""), start=1):
            stripped = text.rstrip(b" \r\n")  # word2vec writes a blank after the last number too
            if number == 1:
                stripped = stripped.removeprefix(BOM)
            if stripped:
                yield number, stripped

    def _read_below_header(
        self, texts: Iterator[tuple[int, bytes]], count: int, dim: int
    ) -> Iterator[_Line]:
        """The lines below a header "count dim"."""
        if dim != self.dim:
            raise self._make_error(1, f"a header of {dim} numbers a word, but {self.expected}")
        found = 0
        for text in texts:
            found += 1
            yield self._split_line(text)
        if found != count:
            raise self._make_error(1, f"a header of {count} words, but {found} follow")

    def _split_line(self, text: tuple[int, bytes]) -> _Line:
        """A line as its word and its numbers; only its number of fields is looked at."""
        number, line = text
        if line.count(b" ") == self.dim:
            word, _, numbers = line.partition(b" ")
            return _Line(number, word, numbers)
        word, *fields = line.rsplit(b" ", self.dim)
        extra = word[word.find(b" ") :] if b" " in word else b""
        if len(fields) < self.dim or _has_more_numbers(number, extra):
            raise self._explain_count(number, line)
        return _Line(number, word, line[len(word) + 1 :])

    def _explain_count(self, number: int, line: bytes) -> InputError:
        if number <= 2 and not _is_text(line):  # noqa: PLR2004 - below a header at the latest
            return self._explain_binary(number)
        if b"\t" in line:
            return self._make_error(number, "a tab, but fields must be separated by single blanks")
        count = line.count(b" ")
        numbers = "1 number" if count == 1 else f"{count} numbers"
        return self._make_error(number, f"{numbers}, but {self.expected}")

    def _explain_binary(self, number: int) -> InputError:
        kind = "not text" if number == 1 else "like word2vec's binary format"
        return self._make_error(number, f"this is {kind}, but must be GloVe's or word2vec's text")

    def _make_error(self, number: int, what: str) -> InputError:
        return InputError(f"{self.path.name}:{number}: {what}")


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, decompressed if it is compressed."""
    name = path.name
    try:
        with path.open("rb") as raw:
            yield decompress(raw)
    except EOFError:
        raise InputError(f"{name} is cut off: its gzip data has no end; fetch it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{name} has damaged gzip data ({error}); fetch it again") from None
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error


def _has_more_numbers(number: int, extra: bytes) -> bool:
    """Whether what stands between a word and its numbers is more numbers, not words.

    ". . ." and "route 66" are words. Where a decimal point is, or on the first line, which decides
    how wide a file is, numbers are taken for numbers.
    """
    return bool(_NUMBERS.fullmatch(extra)) and (number == 1 or not _INTEGERS.fullmatch(extra))


def _is_text(line: bytes) -> bool:
    try:
        return not _CONTROL.search(line.decode())
    except UnicodeDecodeError:
        return False


def _find_fault(field: bytes) -> str:
    """What keeps a field from being a finite float32 number, or nothing."""
    shown = repr(field[:40].decode(errors="replace"))
    try:
        with np.errstate(over="ignore"):
            value = np.float32(float(field.replace(b"_", b"x")))
    except ValueError:
        return f"{shown} is not a number"
    return "" if np.isfinite(value) else f"{shown} is not a finite float32 number"
