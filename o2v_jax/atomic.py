"""Atomic replacement: staging directories, and swapping a finished one into place.

A write goes to a staging directory beside its target, which a lock marks as in use, and takes the
target's name in one step when it is complete.
"""

import ctypes
import errno
import glob
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from uuid import uuid4

if sys.platform != "win32":
    import fcntl

_LOCK = ".lock"
_DIGITS = 12
_HEXADECIMAL = re.compile(f"[0-9a-f]{{{_DIGITS}}}")
_ATTEMPTS = 100


@contextmanager
def staging(
    parent: Path,
    prefix: str,
    suffix: str = "",
    *,
    names: Sequence[str] | None = None,
    mode: int = 0o777,
) -> Iterator[Path]:
    """Gives the block a new, empty directory, and removes it afterwards if it is still there.

    It is named prefix, 12 hexadecimal digits, suffix. A locked file beside it, named `.lock` after
    that, says that its process lives. Directories of this prefix and suffix that no living process
    holds are removed first. Where the file system has no locks, they stay.

    Args:
        parent: an existing directory.
        prefix: what the name begins with: it tells one purpose from another.
        suffix: what it ends with.
        names: the files that may be deleted, so that nothing else ever is; None: everything.
        mode: the permissions of the directory, before the umask.

    Raises:
        OSError: the directory cannot be made.
    """
    remove_abandoned(parent, prefix, suffix, names=names)
    directory, lock = _hold_name(parent, prefix, suffix)
    try:
        directory.mkdir(mode)
        yield directory
    finally:
        _remove(directory, names)
        _lock_of(directory).unlink(missing_ok=True)  # last: without it nobody looks for the rest
        os.close(lock)


def remove_abandoned(
    parent: Path, prefix: str, suffix: str = "", *, names: Sequence[str] | None = None
) -> None:
    """Removes what `staging` made with these arguments in processes that are no more."""
    pattern = f"{escape(prefix)}{'[0-9a-f]' * _DIGITS}{escape(suffix)}"
    for path in parent.glob(pattern + _LOCK):
        lock = _take(path)
        if lock is not None:
            with suppress(OSError):
                _remove(path.with_suffix(""), names)
                path.unlink()
            os.close(lock)


def is_staging(name: str, prefix: str, suffix: str = "") -> bool:
    """Whether `staging` may have given this name to a directory, or to the lock beside one."""
    name = name.removesuffix(_LOCK)
    digits = name.removeprefix(prefix).removesuffix(suffix)
    return name == f"{prefix}{digits}{suffix}" and bool(_HEXADECIMAL.fullmatch(digits))


def is_abandoned(directory: Path) -> bool:
    """Whether no process, living or not, has a lock for this directory."""
    return not _lock_of(directory).exists()


def _lock_of(directory: Path) -> Path:
    return directory.with_name(directory.name + _LOCK)


def _hold_name(parent: Path, prefix: str, suffix: str) -> tuple[Path, int]:
    """A name for a directory and its lock, which another process may take before it is locked."""
    for _ in range(_ATTEMPTS):
        directory = parent / f"{prefix}{uuid4().hex[:_DIGITS]}{suffix}"
        lock = os.open(_lock_of(directory), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        if try_lock(lock) is not False and os.fstat(lock).st_nlink:
            return directory, lock
        os.close(lock)
    raise FileExistsError(f"no name for a new directory can be kept in {parent}")


def _take(path: Path) -> int | None:
    """The open lock, if it is our own and no living process has it, else None."""
    if sys.platform == "win32":
        return None
    with suppress(OSError):
        lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        if os.fstat(lock).st_uid == os.geteuid() and try_lock(lock):
            return lock
        os.close(lock)
    return None


def try_lock(descriptor: int) -> bool | None:
    """Locks an open file for this process, if no other has; None where there are no locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove(directory: Path, names: Sequence[str] | None) -> None:
    if names is None:
        shutil.rmtree(directory, ignore_errors=True)
        return
    with suppress(OSError):
        for name in names:
            (directory / name).unlink(missing_ok=True)
        directory.rmdir()


_AT_FDCWD = -100  # linux/fcntl.h: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # linux/fs.h
_SUFFIX, _ASIDE = ".tmp", ".old"
_FORMER = ".former"  # a file of the former directory, while files are moved one by one
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{12}\.(tmp|old)")


@contextmanager
def replacing(target: Path, names: Sequence[str], *, last: str) -> Iterator[Path]:
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
    with staging(parent, _prefix(target), _SUFFIX, names=files) as directory:
        yield directory
        _sync(*directory.iterdir(), directory)
        if one_by_one:
            _move_files(directory, target, [*names, last])
        else:
            _take_place(directory, target, [*names, last])
        _sync(parent)
        _delete_aside(target, names)


def is_leftover(name: str, target: Path) -> bool:
    """Whether an attempt to replace this directory, which may go on, made a file of this name."""
    return is_staging(name, _prefix(target), _SUFFIX)


def is_unfinished(name: str) -> bool:
    """Whether a directory of this name is to replace another, or has been replaced by one."""
    return bool(_UNFINISHED.fullmatch(name))


def left_aside(target: Path) -> list[Path]:
    """Former directories of this name that an interruption left under another."""
    return sorted(target.parent.glob(f"{glob.escape(_prefix(target))}*{_ASIDE}"))


def is_in_use(aside: Path) -> bool:
    """Whether a former directory belongs to a process that may be about to give up its name."""
    return not is_abandoned(aside.with_suffix(_SUFFIX))


def exchange(one: Path, other: Path) -> bool:
    """Lets two directories change names in one step; False where the system cannot."""
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    paths = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return bool(renameat2(*paths, _RENAME_EXCHANGE) == 0)


def exchange_by_renaming(one: Path, other: Path, aside: Path | None = None) -> None:
    """The same in three steps; `other` is aside under a name ending in .old between them."""
    aside = aside or other.with_name(f"{_prefix(other)}{uuid4().hex[:12]}{_ASIDE}")
    other.rename(aside)
    try:
        one.rename(other)
    except BaseException:
        aside.rename(other)
        raise
    aside.rename(one)


def _take_place(directory: Path, target: Path, order: Sequence[str]) -> None:
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
    for old in left_aside(target):
        if is_staging(old.name, _prefix(target), _ASIDE) and not is_in_use(old):
            _delete(old, names)


def is_fixed(target: Path) -> bool:
    """Whether a directory cannot be exchanged for another, though files may be put into it."""
    return target.is_dir() and (_is_mount(target) or not os.access(target.parent, os.W_OK))


def _is_mount(target: Path) -> bool:
    """Whether something is mounted there; `Path.is_mount` sees no folder of the same disk."""
    mounts = Path("/proc/self/mountinfo")
    if target.is_mount() or not mounts.exists():
        return target.is_mount()
    path = os.fsencode(target)
    for character in b"\\ \t\n":  # which the kernel writes in octal
        path = path.replace(bytes([character]), b"\\%03o" % character)
    return any(line.split()[4] == path for line in mounts.read_bytes().splitlines())


def _move_files(staging: Path, target: Path, order: Sequence[str]) -> None:
    """Moves files in this order, one that is named twice at its last place.

    The former files go aside before, the last one first, and with it what makes them a whole:
    nobody takes old and new files for one. If a file cannot be moved, all are put back.
    """
    places = {name: place for place, name in enumerate(order)}
    new = sorted((path.name for path in staging.iterdir()), key=places.__getitem__)
    former = [name for name in sorted(places, key=places.__getitem__) if (target / name).exists()]
    try:
        for name in reversed(former):
            (target / name).rename(staging / f"{name}{_FORMER}")
        for name in new:
            (staging / name).rename(target / name)
    except BaseException:
        _put_back(staging, target, new, former)
        raise


def _put_back(staging: Path, target: Path, new: Sequence[str], former: Sequence[str]) -> None:
    for name in reversed(new):
        if not (staging / name).exists():
            (target / name).unlink(missing_ok=True)
    for name in former:
        if (aside := staging / f"{name}{_FORMER}").exists():
            aside.rename(target / name)


def _prefix(target: Path) -> str:
    return f".{target.name}."


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
