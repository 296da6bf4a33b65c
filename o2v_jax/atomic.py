"""Atomic replacement of files and directories: a reader finds the old one or the new one, whole.

New content is written to a staging directory beside its target, flushed to the disk, and renamed to
the target in one step.
"""

import ctypes
import errno
import glob
import os
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from o2v_jax.staging import is_abandoned, is_staging, new_name, open_staging, remove_files

_AT_FDCWD = -100  # linux/fcntl.h: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # linux/fs.h
_SUFFIX, _ASIDE = ".tmp", ".old"
_FORMER = ".former"  # a file of the former directory, while files are moved one by one
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{12}\.(tmp|old)")


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Gives the block a path to write a file to; after the block it replaces `path`.

    If the block raises, everything stays as it was.

    Raises:
        OSError: the folder of `path` is missing, or nothing can be written there.
    """
    with open_staging(path.parent, _prefix_of(path), _SUFFIX) as directory:
        written = directory / path.name
        yield written
        sync(written)
        written.replace(path)
        sync(path.parent)


@contextmanager
def replace_directory(target: Path, names: Sequence[str], *, last: str) -> Iterator[Path]:
    """Gives the block an empty directory to write in; after the block it replaces `target`.

    If the block raises, or `target` cannot be replaced, everything stays as it was. What a killed
    process left of an earlier attempt is removed.

    Args:
        target: an absolute path of nothing, of an empty directory, or of one that holds only
            `names`.
        names: the files that may be in the directories, so that nothing else is ever deleted.
        last: the file that is moved last where files are moved one by one.
    """
    one_by_one = is_fixed(target)
    parent = target if one_by_one else target.parent
    parent.mkdir(parents=True, exist_ok=True)
    files = [*names, *(f"{name}{_FORMER}" for name in names)]
    with open_staging(parent, _prefix_of(target), _SUFFIX, names=files) as directory:
        yield directory
        for path in (*directory.iterdir(), directory):
            sync(path)
        if one_by_one:
            _move_files(directory, target, [*names, last])
        else:
            _take_name(directory, target, [*names, last])
        sync(parent)
        _delete_aside(target, names)


def require_creatable(target: Path) -> None:
    """Checks that a new directory can be made under this name, with its missing parents.

    Args:
        target: an absolute path that does not exist.

    Raises:
        OSError: it cannot.
    """
    parent = next(path for path in target.parents if path.exists())
    with TemporaryDirectory(dir=parent, prefix=_prefix_of(target)):
        pass


def sync(path: Path) -> None:
    """Flushes a file, or the entries of a directory, to the disk.

    Raises:
        OSError: it cannot be opened or written.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_leftover(name: str, target: Path) -> bool:
    """Whether an attempt to replace `target`, perhaps a running one, made a file of this name."""
    return is_staging(name, _prefix_of(target), _SUFFIX)


def list_others(target: Path, names: Collection[str]) -> list[str]:
    """The sorted names in a directory, without `names` and what attempts to replace it left."""
    found = {path.name for path in target.iterdir() if not is_leftover(path.name, target)}
    return sorted(found.difference(names))


def is_unfinished(name: str) -> bool:
    """Whether a directory of this name is to replace another, or was replaced by another."""
    return bool(_UNFINISHED.fullmatch(name))


def find_aside(target: Path) -> list[Path]:
    """Former directories of this path that an interruption left under a temporary name."""
    return sorted(target.parent.glob(f"{glob.escape(_prefix_of(target))}*{_ASIDE}"))


def is_in_use(aside: Path) -> bool:
    """Whether the process that moved a former directory aside may still be running."""
    return not is_abandoned(aside.with_suffix(_SUFFIX))


def is_fixed(target: Path) -> bool:
    """Whether a directory cannot be replaced as a whole, only the files in it."""
    return target.is_dir() and (_is_mount(target) or not os.access(target.parent, os.W_OK))


def exchange(one: Path, other: Path) -> bool:
    """Swaps the names of two directories in one step; returns False where the system cannot.

    Python has no such call. With plain renames there is a moment without a directory of that name,
    in which a reader finds nothing, a kill leaves nothing and two writers collide.
    """
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    paths = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return bool(renameat2(*paths, _RENAME_EXCHANGE) == 0)


def exchange_by_renaming(one: Path, other: Path, aside: Path | None = None) -> None:
    """Swaps the names of two directories in three renames.

    In between, `other` has a temporary name that ends in .old.
    """
    aside = aside or other.with_name(new_name(_prefix_of(other), _ASIDE))
    other.rename(aside)
    try:
        one.rename(other)
    except BaseException:
        aside.rename(other)
        raise
    aside.rename(one)


def _take_name(directory: Path, target: Path, order: Sequence[str]) -> None:
    if not target.exists() or not any(target.iterdir()):
        directory.rename(target)
    elif not exchange(directory, target):
        try:
            exchange_by_renaming(directory, target, directory.with_suffix(_ASIDE))
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _move_files(directory, target, order)  # overlayfs: a directory of an image's layer


def _delete_aside(target: Path, names: Sequence[str]) -> None:
    """Deletes former directories that have been replaced and belong to no living process."""
    for old in find_aside(target):
        if is_staging(old.name, _prefix_of(target), _ASIDE) and not is_in_use(old):
            remove_files(old, names)


def _is_mount(target: Path) -> bool:
    """Whether something is mounted there; `Path.is_mount` misses a bind mount of the same disk."""
    mounts = Path("/proc/self/mountinfo")
    if target.is_mount() or not mounts.exists():
        return target.is_mount()
    path = os.fsencode(target)
    for character in b"\\ \t\n":  # which the kernel writes in octal
        path = path.replace(bytes([character]), b"\\%03o" % character)
    return any(line.split()[4] == path for line in mounts.read_bytes().splitlines())


def _move_files(directory: Path, target: Path, order: Sequence[str]) -> None:
    """Moves files in this order; a file that is named twice is moved at its last position.

    The former files are moved aside first, in reverse order: the last file, which makes a directory
    complete, goes first and comes back last, so that nobody reads old and new files as one. If a
    file cannot be moved, all are put back.
    """
    positions = {name: position for position, name in enumerate(order)}
    new = sorted((path.name for path in directory.iterdir()), key=positions.__getitem__)
    ordered = sorted(positions, key=positions.__getitem__)
    former = [name for name in ordered if (target / name).exists()]
    try:
        for name in reversed(former):
            (target / name).rename(directory / f"{name}{_FORMER}")
        for name in new:
            (directory / name).rename(target / name)
    except BaseException:
        _put_back(directory, target, new, former)
        raise


def _put_back(directory: Path, target: Path, new: Sequence[str], former: Sequence[str]) -> None:
    for name in reversed(new):
        if not (directory / name).exists():
            (target / name).unlink(missing_ok=True)
    for name in former:
        if (aside := directory / f"{name}{_FORMER}").exists():
            aside.rename(target / name)


def _prefix_of(target: Path) -> str:
    return f".{target.name}."
