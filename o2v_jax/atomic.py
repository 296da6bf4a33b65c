"""Atomic replacement of files and directories: a reader finds the old one or the new one, whole.

What is new is written to a staging directory beside its target, brought to the disk, and takes the
target's name in one step.
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

from o2v_jax.staging import is_abandoned, is_staging, new_name, open_staging, remove_files

_AT_FDCWD = -100  # linux/fcntl.h: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # linux/fs.h
_SUFFIX, _ASIDE = ".tmp", ".old"
_FORMER = ".former"  # a file of the former directory, while files are moved one by one
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{12}\.(tmp|old)")


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Gives the block a path to write a file at, which takes the name `path` after it.

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
    """Gives the block an empty directory to write in, which takes the name `target` after it.

    If the block raises, or the name cannot be had, everything stays as it was. What a killed
    process left of its own attempt is removed.

    Args:
        target: an absolute path: nothing, an empty directory, or one with only `names` in it.
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


def sync(path: Path) -> None:
    """Brings a file, or the names in a directory, to the disk.

    Raises:
        OSError: it cannot be opened or written.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_leftover(name: str, target: Path) -> bool:
    """Whether an attempt to replace this directory, perhaps a running one, made this file."""
    return is_staging(name, _prefix_of(target), _SUFFIX)


def list_others(target: Path, names: Collection[str]) -> list[str]:
    """What a directory holds beside files of these names and attempts to replace it, in order."""
    found = {path.name for path in target.iterdir() if not is_leftover(path.name, target)}
    return sorted(found.difference(names))


def is_unfinished(name: str) -> bool:
    """Whether a directory of this name is to replace another, or has been replaced by one."""
    return bool(_UNFINISHED.fullmatch(name))


def find_aside(target: Path) -> list[Path]:
    """Former directories of this name that an interruption left under another."""
    return sorted(target.parent.glob(f"{glob.escape(_prefix_of(target))}*{_ASIDE}"))


def is_in_use(aside: Path) -> bool:
    """Whether a former directory belongs to a process that may be about to give up its name."""
    return not is_abandoned(aside.with_suffix(_SUFFIX))


def is_fixed(target: Path) -> bool:
    """Whether a directory cannot be exchanged for another, though files may be put into it."""
    return target.is_dir() and (_is_mount(target) or not os.access(target.parent, os.W_OK))


def exchange(one: Path, other: Path) -> bool:
    """Lets two directories change names in one step; False where the system cannot.

    Python has no such call. Plain renames leave a moment without a directory of that name, in which
    a reader finds nothing and a kill leaves nothing, and in which two writers collide.
    """
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    paths = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return bool(renameat2(*paths, _RENAME_EXCHANGE) == 0)


def exchange_by_renaming(one: Path, other: Path, aside: Path | None = None) -> None:
    """Lets two directories change names in three renames.

    Between them `other` is aside, under a name that ends in .old.
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
            _move_files(directory, target, order)  # a container's file system: of an image's layer


def _delete_aside(target: Path, names: Sequence[str]) -> None:
    """Deletes former directories that have been replaced and belong to no living process."""
    for old in find_aside(target):
        if is_staging(old.name, _prefix_of(target), _ASIDE) and not is_in_use(old):
            remove_files(old, names)


def _is_mount(target: Path) -> bool:
    """Whether something is mounted there; `Path.is_mount` sees no folder of the same disk."""
    mounts = Path("/proc/self/mountinfo")
    if target.is_mount() or not mounts.exists():
        return target.is_mount()
    path = os.fsencode(target)
    for character in b"\\ \t\n":  # which the kernel writes in octal
        path = path.replace(bytes([character]), b"\\%03o" % character)
    return any(line.split()[4] == path for line in mounts.read_bytes().splitlines())


def _move_files(directory: Path, target: Path, order: Sequence[str]) -> None:
    """Moves files in this order, one that is named twice at its last position.

    The former files go aside before, the last one first, and with it what makes them a whole:
    nobody takes old and new files for one. If a file cannot be moved, all are put back.
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
