"""What a file is, by its beginning, where it holds no records: said before a line of it is read."""

import io
import re
from typing import BinaryIO, cast

from o2v_jax.errors import InputError
from o2v_jax.util import BOM

HEAD_BYTES = 4096  # of a file that are looked at, if so many are there at once

_UNPACK = "unpack it first"
_KINDS = (
    (b"PAR1", "a Parquet file", "o2v transform scores it, and o2v prepare makes JSON Lines of it"),
    (b"PK\x03\x04", "a zip archive (.zip, .xlsx, .npz)", _UNPACK),
    (b"BZh", "compressed by bzip2", "gzip alone is read: decompress it first"),
    (b"\xfd7zXZ\x00", "compressed by xz", "gzip alone is read: decompress it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "gzip alone is read: decompress it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"\x1f\x8b", "compressed by gzip twice", "decompress it first"),
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "save it as UTF-8"),
    (b"\x93NUMPY", "a NumPy array", ""),
    (b"ARROW1", "an Arrow file", "write it as Parquet for o2v transform or o2v prepare"),
    (b"FEA1", "a Feather file", "write it as Parquet for o2v transform or o2v prepare"),
    (b"ORC", "an ORC file", "write it as Parquet for o2v transform or o2v prepare"),
    (b"Obj\x01", "an Avro file", "write it as Parquet for o2v transform or o2v prepare"),
    (b"\x89HDF", "an HDF5 file", ""),
    (b"SQLite format 3", "an SQLite database", ""),
    (b"\x0a\x23\xd7\xce", "RecordIO", "JSON Lines is the only content type for training"),
    (b"%PDF", "a PDF", ""),
)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TAR = slice(257, 262)
_SAFETENSORS = re.compile(rb'.{8}\{\s*"', re.DOTALL)  # the length of a header, and that header
_DOCUMENT = re.compile(rb'\s*\{\s*"instances"\s*:\s*[\[{]')
_DELIMITERS = {b"\t": "tab-separated text", b",": "CSV", b";": "CSV", b"|": "CSV"}


def head_of(stream: BinaryIO) -> bytes:
    """The first bytes of a buffered stream, which stay there to be read."""
    return cast("io.BufferedReader", stream).peek(HEAD_BYTES)[:HEAD_BYTES].removeprefix(BOM)


def require_text(head: bytes, name: str) -> None:
    """Refuses what is plainly no text.

    Args:
        head: the beginning of a file's content.
        name: of the file, for messages.

    Raises:
        InputError: it says what the file is and what to do with it.
    """
    found = _kind(head)
    if found:
        kind, remedy = found
        advice = f": {remedy}" if remedy else ""
        raise InputError(f"{name} is {kind}, but JSON Lines are expected{advice}")


def is_document(head: bytes) -> bool:
    """Whether this is how `{"instances": [...]}` begins, on one line or several."""
    return _DOCUMENT.match(head) is not None


def table_kind(head: bytes) -> str:
    """What a table in text is called, where the first lines look like one; else nothing."""
    lines = head.split(b"\n")
    if any(line.lstrip().startswith((b"{", b"[")) for line in lines):
        return ""  # a few bad lines among records make no table
    lines = [line for line in lines[:3] if line.strip()][:2]
    if not lines:
        return ""
    found = (kind for mark, kind in _DELIMITERS.items() if all(mark in line for line in lines))
    return next(found, "")


def _kind(head: bytes) -> tuple[str, str] | None:
    for magic, kind, remedy in _KINDS:
        # a text may begin with letters that a kind of file begins with
        if head.startswith(magic) and (not magic.isascii() or _CONTROL.search(head)):
            return kind, remedy
    if head[_TAR] == b"ustar":
        return "a tar archive", _UNPACK
    if b"\0" not in head.partition(b"\n")[0]:
        return None
    return ("a safetensors file" if _SAFETENSORS.match(head) else "binary"), ""
