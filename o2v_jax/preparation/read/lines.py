"""Lines of text files, plain or gzipped; files of other forms are refused by their first bytes."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

from o2v_jax.errors import InputError, RecordError
from o2v_jax.util import BOM, GZIP_ERRORS, decompress

LONGEST_LINE = 2**26  # bytes; a line is held in memory
CONVERT = "convert the file to UTF-8 (iconv -f ENCODING -t UTF-8)"

_UTF16 = "is UTF-16: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)"
_OTHER_FORMS = (
    (rb"\xff\xfe|\xfe\xff", _UTF16),
    (rb"[^\x00]\x00[^\x00]\x00|\x00[^\x00]\x00[^\x00]", _UTF16),
    (rb"PK(\x03\x04|\x05\x06)", "is a zip archive: unpack it; of an Excel workbook save CSV"),
    (rb"\xd0\xcf\x11\xe0", "is an Excel workbook: save it as CSV"),
    (rb"PAR1[\x00-\x1f]", "is Parquet: give --format parquet"),
    (rb"BZh[1-9]1AY", "is compressed by bzip2: unpack it, or compress it by gzip"),
    (rb"\xfd7zXZ\x00", "is compressed by xz: unpack it, or compress it by gzip"),
    (rb"\x28\xb5\x2f\xfd", "is compressed by zstd: unpack it, or compress it by gzip"),
    (rb"ARROW1\x00\x00", "is an Arrow file: write it as Parquet"),
)
_HEAD = 16  # bytes


@contextmanager
def open_lines(file: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a file, each with its end, without a byte order mark.

    Args:
        file: gzip is told by its first bytes, whatever it is called.

    Raises:
        InputError: the file is empty, is of another form, or cannot be read.
        RecordError: a line is longer than 64 MiB.
    """
    try:
        with file.open("rb") as packed:
            stream = decompress(packed)
            _refuse_other_forms(file, stream)
            yield _lines(file, stream)
    except GZIP_ERRORS as error:
        raise InputError(f"{file}: its gzip data is damaged ({error})") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error


def _refuse_other_forms(file: Path, stream: BinaryIO) -> None:
    head = cast("io.BufferedReader", stream).peek(_HEAD)[:_HEAD]
    if form := other_form(head):
        raise InputError(f"{file}: {form}")


def other_form(head: bytes) -> str | None:
    """What a file is that begins so, and what to do about it; None: perhaps text."""
    forms = (form for pattern, form in _OTHER_FORMS if re.match(pattern, head, re.DOTALL))
    return next(forms, None)


def _lines(file: Path, stream: BinaryIO) -> Iterator[bytes]:
    lines = iter(partial(stream.readline, LONGEST_LINE + 1), b"")
    first = next(lines, b"").removeprefix(BOM)
    for number, line in enumerate(chain([first] if first else [], lines), 1):
        if len(line) > LONGEST_LINE:
            raise RecordError(f"{file}:{number}", f"the line is longer than {LONGEST_LINE:,} bytes")
        yield line
