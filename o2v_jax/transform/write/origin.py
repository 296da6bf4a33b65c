"""What complete results carry with them: by which settings, and of which input, they were made.

It is an extended attribute of the file, and not a file beside it, so that the folder of results
holds results alone. Where the file system has no such attributes, results are of unknown origin.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from o2v_jax.util import hash_bytes

NAME = "user.o2v_jax.transform"
_FORMAT = 2


class Origin(msgspec.Struct):
    """Of which input, and by which settings, a file of results was made.

    Attributes:
        identity: the settings and the model.
        input: the `hash_path` of its absolute path.
        size: bytes of the input.
        modified: when the input last was, in ns since 1970.
        records: of which there are results.
        errors: of these, how many are bad.
        format: of this attribute.
    """

    identity: dict[str, Any]
    input: str
    size: int
    modified: int
    records: int
    errors: int
    format: int = _FORMAT


class _Stored(msgspec.Struct):
    origin: Origin
    size: int
    modified: int


def hash_path(path: str) -> str:
    """The digest of a path, which may be long, and have bytes that are not text."""
    return hash_bytes(os.fsencode(path))


def write_origin(results: Path, origin: Origin) -> None:
    """Marks a complete file; without effect where the file system cannot."""
    about = results.stat()
    held = msgspec.json.encode(_Stored(origin, about.st_size, about.st_mtime_ns))
    with suppress(OSError, AttributeError):  # os.setxattr is Linux's
        os.setxattr(results, NAME, held)


def read_origin(results: Path) -> Origin | None:
    """The origin of results; None if it is unknown, or they were changed since."""
    try:
        held = msgspec.json.decode(os.getxattr(results, NAME), type=_Stored)
        about = results.stat()
    except (OSError, AttributeError, ValueError):
        return None
    same = (held.size, held.modified) == (about.st_size, about.st_mtime_ns)
    return held.origin if same and held.origin.format == _FORMAT else None


def describe_differences(held: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which settings differ, for a person to read; empty if none does.

    >>> describe_differences({"accept": None, "split": "Line"}, {"accept": "x", "split": "Line"})
    'accept was not given, now x'
    """
    names = sorted(held.keys() | now.keys())
    other = [name for name in names if held.get(name) != now.get(name)]
    shown = [
        (name, _shorten_value(held.get(name)), _shorten_value(now.get(name))) for name in other
    ]
    return ", ".join(f"{name} was {before}, now {after}" for name, before, after in shown)


_DIGEST = 64
_LONGEST = 200
_SHOWN = 12


def _shorten_value(value: object) -> str:
    text = "not given" if value is None else str(value)
    digest = len(text) == _DIGEST and text.isalnum()
    return text[:_SHOWN] if digest else text[:_LONGEST]
