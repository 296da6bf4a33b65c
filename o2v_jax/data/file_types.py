"""Kinds of files, told by their first bytes, where a file does not hold records as text."""

import io
import re
from typing import BinaryIO, NamedTuple, cast

from o2v_jax.errors import InputError
from o2v_jax.util import BOM

HEAD_BYTES = 4096  # of a file that are looked at, if so many are there at once
PARQUET_NAME = "a Parquet file"


class FileType(NamedTuple):
    """A kind of file that is not text.

    Attributes:
        name: what a file of this kind is; follows "is" in messages.
        remedy: what to do with it; empty if nothing is known.
    """

    name: str
    remedy: str = ""


_UNPACK = "unpack it first"
_DECOMPRESS = "decompress it, or compress it by gzip instead"
_AS_UTF8 = "convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)"
_AS_PARQUET = "write it as Parquet for o2v transform or o2v prepare"
_MAGIC = {
    rb"PAR1": FileType(
        PARQUET_NAME, "o2v transform scores it, and o2v prepare makes JSON Lines of it"
    ),
    rb"PK(\x03\x04|\x05\x06)": FileType(
        "a zip archive (.zip, .xlsx, .npz)", f"{_UNPACK}; save an Excel workbook as CSV"
    ),
    rb"\xd0\xcf\x11\xe0": FileType("an Excel workbook", "save it as CSV for o2v prepare"),
    rb"BZh": FileType("compressed by bzip2", _DECOMPRESS),
    rb"\xfd7zXZ\x00": FileType("compressed by xz", _DECOMPRESS),
    rb"\x28\xb5\x2f\xfd": FileType("compressed by zstd", _DECOMPRESS),
    rb"7z\xbc\xaf\x27\x1c": FileType("a 7z archive", _UNPACK),
    rb"\x1f\x8b": FileType("compressed by gzip twice", "decompress it first"),
    rb"\xff\xfe|\xfe\xff": FileType("UTF-16 text", _AS_UTF8),
    rb"([\t\r\n -~]\x00){2}|(\x00[\t\r\n -~]){2}": FileType("UTF-16 text", _AS_UTF8),
    rb"\x93NUMPY": FileType("a NumPy array"),
    rb"ARROW1": FileType("an Arrow file", _AS_PARQUET),
    rb"FEA1": FileType("a Feather file", _AS_PARQUET),
    rb"ORC": FileType("an ORC file", _AS_PARQUET),
    rb"Obj\x01": FileType("an Avro file", _AS_PARQUET),
    rb"\x89HDF": FileType("an HDF5 file"),
    rb"SQLite format 3": FileType("an SQLite database"),
    rb"\x0a\x23\xd7\xce": FileType("RecordIO", "JSON Lines is the only content type for training"),
    rb"%PDF": FileType("a PDF"),
}
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TAR = slice(257, 262)
_SAFETENSORS = re.compile(rb'.{8}\{\s*"', re.DOTALL)  # the length of a header, and that header
_DOCUMENT = re.compile(rb'\s*\{\s*"instances"\s*:\s*[\[{]')
_DELIMITERS = {b"\t": "tab-separated text", b",": "CSV", b";": "CSV", b"|": "CSV"}


def peek_head(stream: BinaryIO) -> bytes:
    """The first bytes of a buffered stream, which stay there to be read."""
    return cast("io.BufferedReader", stream).peek(HEAD_BYTES)[:HEAD_BYTES].removeprefix(BOM)


def require_text(head: bytes, name: str) -> None:
    """Checks that a file is not of a kind that is plainly not text.

    Args:
        head: the beginning of a file's content.
        name: of the file, for messages.

    Raises:
        InputError: it says what the file is and what to do with it.
    """
    kind = identify_file_type(head) or _identify_binary(head)
    if kind:
        advice = f": {kind.remedy}" if kind.remedy else ""
        raise InputError(f"{name} is {kind.name}, but JSON Lines are expected{advice}")


def identify_file_type(head: bytes) -> FileType | None:
    """The kind of a file that begins so; None: perhaps text, or of a kind that is not known."""
    for pattern, kind in _MAGIC.items():
        found = re.match(pattern, head, re.DOTALL)
        # a text may begin with letters that a kind of file begins with
        if found and (not found[0].isascii() or _CONTROL.search(head)):
            return kind
    return FileType("a tar archive", _UNPACK) if head[_TAR] == b"ustar" else None


def is_document(head: bytes) -> bool:
    """Whether this is how `{"instances": [...]}` begins, on one line or several."""
    return _DOCUMENT.match(head) is not None


def describe_table(head: bytes) -> str:
    """What a table in text is called, where the first lines look like one; else nothing."""
    lines = head.split(b"\n")
    if any(line.lstrip().startswith((b"{", b"[")) for line in lines):
        return ""  # a few bad lines among records make no table
    lines = [line for line in lines[:3] if line.strip()][:2]
    if not lines:
        return ""
    found = (kind for mark, kind in _DELIMITERS.items() if all(mark in line for line in lines))
    return next(found, "")


def _identify_binary(head: bytes) -> FileType | None:
    """The kind of a file whose first line cannot be text."""
    if b"\0" not in head.partition(b"\n")[0]:
        return None
    return FileType("a safetensors file" if _SAFETENSORS.match(head) else "binary")
