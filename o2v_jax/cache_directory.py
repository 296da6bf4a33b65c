"""The cache directory, where results that take long to compute are kept for the next process.

Compiled programs are loaded from there and run, so nobody else may be able to write there.
"""

import atexit
import logging
import os
import shutil
import stat
import tempfile
from functools import cache
from pathlib import Path

import platformdirs

from o2v_jax.errors import InputError
from o2v_jax.util import require_local

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_OPEN = stat.S_IRWXG | stat.S_IRWXO
_ROOT = 0

_log = logging.getLogger(__name__)


def cache_directory() -> Path:
    """`O2V_CACHE_DIR` if it is set, else o2v_jax in the user's cache (`XDG_CACHE_HOME`, ~/.cache).

    The directory in the user's cache is made if it is missing, and used only if nobody but this
    user and root may write there. Where it cannot be used, as for a user without a home, the cache
    is a private directory among the temporary files: always the same one, unless somebody else has
    taken its name.

    Raises:
        InputError: one of these variables is a URL.
    """
    for name in ("O2V_CACHE_DIR", "XDG_CACHE_HOME"):
        _require_local_variable(name)
    if chosen := os.environ.get("O2V_CACHE_DIR"):
        return Path(chosen)
    try:
        own = platformdirs.user_cache_path("o2v_jax", appauthor=False)
    except RuntimeError:  # a user without a home
        own = None
    return _choose_directory(own)


def _require_local_variable(name: str) -> None:
    try:
        require_local(os.environ.get(name, ""))
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


@cache  # what is wrong is logged once, and a process has one directory
def _choose_directory(directory: Path | None) -> Path:
    if directory is None:
        return _make_temporary()
    fault = _find_fault(directory)
    if fault is None:
        return directory
    instead = _make_temporary()
    if os.path.lexists(directory):
        _log.warning("%s %s: the cache is kept in %s", directory, fault, instead)
    return instead


def _make_temporary() -> Path:
    directory = Path(tempfile.gettempdir(), f"o2v_jax-{os.geteuid()}")
    if _find_fault(directory, shared=True) is None:
        return directory
    directory = Path(tempfile.mkdtemp(prefix="o2v_jax-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _find_fault(directory: Path, *, shared: bool = False) -> str | None:
    """Makes a directory if it is missing; says why it cannot be trusted, or None if it can.

    `shared`: all may write to its parent, so somebody else may have made it, or put a link there.
    """
    try:
        directory.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
        found = directory.stat(follow_symlinks=not shared)
        parent = directory.parent.stat()
    except OSError as error:
        return f"cannot be used ({error.strerror})"
    if os.name == "nt":  # where modes tell nothing, and temporary files are the user's own
        return None
    if not stat.S_ISDIR(found.st_mode):
        return "is a link"
    if found.st_uid not in ({os.geteuid()} if shared else {os.geteuid(), _ROOT}):
        return "belongs to another user"
    if found.st_mode & (_OPEN if shared else _WRITABLE):
        return "can be changed by others (chmod go-w makes it safe)"
    return "is where others can replace it" if _can_be_renamed(parent) else None


def _can_be_renamed(parent: os.stat_result) -> bool:
    """Whether others may rename what is in a directory: its owner may, and all if it is open.

    In a directory with the sticky bit, as that of temporary files, each may rename their own only.
    """
    if parent.st_uid not in {os.geteuid(), _ROOT}:
        return True
    return bool(parent.st_mode & stat.S_IWOTH and not parent.st_mode & stat.S_ISVTX)
