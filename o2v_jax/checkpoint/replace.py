"""Giving a directory its name, or another's, in one step."""

import ctypes
import glob
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

_AT_FDCWD = -100  # linux/fcntl.h: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # linux/fs.h


@contextmanager
def replacing(target: Path, names: Sequence[str], *, last: str) -> Iterator[Path]:
    """Gives the block an empty directory to write in, which takes the name `target` after it.

    If the block raises, or the name cannot be had, everything stays as it was.

    Args:
        target: an absolute path: nothing, an empty directory, or one with only `names` in it.
        names: the files that may be in the directories, so that nothing else is ever deleted.
        last: the file that is moved last where files are moved one by one.
    """
    one_by_one = is_fixed(target)
    parent = target if one_by_one else target.parent
    parent.mkdir(parents=True, exist_ok=True)
    staging = parent / _temporary(target, "tmp")
    staging.mkdir()
    try:
        yield staging
        _sync(*staging.iterdir(), staging)
        if one_by_one:
            _move_files(staging, target, last)
        else:
            _take_place(staging, target)
        _sync(parent)
    finally:
        _delete(staging, names)


def left_aside(target: Path) -> list[Path]:
    """Former directories of this name that an interruption left under another."""
    return sorted(target.parent.glob(f".{glob.escape(target.name)}.*.old"))


def exchange(one: Path, other: Path) -> bool:
    """Lets two directories change names in one step; False where the system cannot."""
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    paths = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return bool(renameat2(*paths, _RENAME_EXCHANGE) == 0)


def exchange_by_renaming(one: Path, other: Path) -> None:
    """The same in three steps; `other` is aside under a name ending in .old between them."""
    aside = other.with_name(_temporary(other, "old"))
    other.rename(aside)
    try:
        one.rename(other)
    except BaseException:
        aside.rename(other)
        raise
    aside.rename(one)


def _take_place(staging: Path, target: Path) -> None:
    if not target.exists() or not any(target.iterdir()):
        staging.rename(target)
    elif not exchange(staging, target):
        exchange_by_renaming(staging, target)


def is_fixed(target: Path) -> bool:
    """Whether a directory cannot be exchanged for another, though files may be put into it."""
    return target.is_dir() and (target.is_mount() or not os.access(target.parent, os.W_OK))


def _move_files(staging: Path, target: Path, last: str) -> None:
    for path in sorted(staging.iterdir(), key=lambda path: path.name == last):
        path.rename(target / path.name)


def _temporary(target: Path, kind: str) -> str:
    return f".{target.name}.{uuid4().hex[:12]}.{kind}"


def _sync(*paths: Path) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _delete(directory: Path, names: Sequence[str]) -> None:
    with suppress(OSError):
        for name in names:
            (directory / name).unlink(missing_ok=True)
        directory.rmdir()
