"""Directories of unfinished work: what a killed process left of them is removed by the next one."""

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
