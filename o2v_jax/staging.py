"""Staging directories: unfinished work beside its target, marked by a lock as in use.

A directory that a killed process left is recognized by its lock, which no living process holds. The
next process that stages under the same prefix removes it.
"""

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
def open_staging(
    parent: Path,
    prefix: str,
    suffix: str = "",
    *,
    names: Sequence[str] | None = None,
    mode: int = 0o777,
) -> Iterator[Path]:
    """Gives the block a new, empty directory, and removes it afterwards if it still exists.

    It is named prefix, 12 hexadecimal digits, suffix. A locked file beside it, with `.lock` after
    that name, shows that its process is alive. Directories of this prefix and suffix that no living
    process holds are removed first. Where the file system has no locks, they stay.

    Args:
        parent: an existing directory.
        prefix: what the name begins with; a different one for each purpose.
        suffix: what it ends with.
        names: the files that may be deleted, so that nothing else ever is; None: everything.
        mode: the permissions of the directory, before the umask.

    Raises:
        OSError: the directory cannot be made.
    """
    remove_abandoned(parent, prefix, suffix, names=names)
    directory, lock = _create_lock(parent, prefix, suffix)
    try:
        directory.mkdir(mode)
        yield directory
    finally:
        _remove(directory, names)
        _lock_of(directory).unlink(missing_ok=True)  # last: without it nobody looks for the rest
        os.close(lock)


def new_name(prefix: str, suffix: str = "") -> str:
    """A name that is not in use: prefix, 12 random hexadecimal digits, suffix."""
    return f"{prefix}{uuid4().hex[:_DIGITS]}{suffix}"


def remove_abandoned(
    parent: Path, prefix: str, suffix: str = "", *, names: Sequence[str] | None = None
) -> None:
    """Removes the directories that `open_staging` made in processes that have ended."""
    pattern = f"{escape(prefix)}{'[0-9a-f]' * _DIGITS}{escape(suffix)}"
    for path in parent.glob(pattern + _LOCK):
        lock = _take_lock(path)
        if lock is not None:
            with suppress(OSError):
                _remove(path.with_suffix(""), names)
                path.unlink()
            os.close(lock)


def remove_files(directory: Path, names: Sequence[str]) -> None:
    """Removes these files and their directory; if it holds other files, it stays with them."""
    with suppress(OSError):
        for name in names:
            (directory / name).unlink(missing_ok=True)
        directory.rmdir()


def is_staging(name: str, prefix: str, suffix: str = "") -> bool:
    """Whether `open_staging` may have given this name to a directory, or to its lock."""
    name = name.removesuffix(_LOCK)
    digits = name.removeprefix(prefix).removesuffix(suffix)
    return name == f"{prefix}{digits}{suffix}" and bool(_HEXADECIMAL.fullmatch(digits))


def is_abandoned(directory: Path) -> bool:
    """Whether this directory has no lock file, whether of a living process or not."""
    return not _lock_of(directory).exists()


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


def _lock_of(directory: Path) -> Path:
    return directory.with_name(directory.name + _LOCK)


def _create_lock(parent: Path, prefix: str, suffix: str) -> tuple[Path, int]:
    """A directory's name and its lock, which another process may take before it is locked."""
    for _ in range(_ATTEMPTS):
        directory = parent / new_name(prefix, suffix)
        lock = os.open(_lock_of(directory), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        if try_lock(lock) is not False and os.fstat(lock).st_nlink:
            return directory, lock
        os.close(lock)
    raise FileExistsError(f"no new directory in {parent} could be locked")


def _take_lock(path: Path) -> int | None:
    """The open lock, if it is our own and no living process has it, else None."""
    if sys.platform == "win32":
        return None
    with suppress(OSError):
        lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        if os.fstat(lock).st_uid == os.geteuid() and try_lock(lock):
            return lock
        os.close(lock)
    return None


def _remove(directory: Path, names: Sequence[str] | None) -> None:
    if names is None:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        remove_files(directory, names)
