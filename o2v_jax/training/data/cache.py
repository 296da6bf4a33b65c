"""Columns are read once: by the content of their files they are found again, memory-mapped.

An entry is a directory, written under another name and renamed when it is complete. Nothing is
lost when one is removed or damaged, so nothing here waits for the disk or for another process: what
cannot be used is read again, and who comes second with the same entry throws it away.
"""

import logging
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from io import BytesIO
from pathlib import Path

import msgspec

from o2v_jax.atomic import staging
from o2v_jax.errors import InputError
from o2v_jax.training.data.columns import SUMMARY, Columns, in_memory, mapped
from o2v_jax.training.reading import Reading, key_of, key_start

DAYS_UNUSED = 30  # after which an entry is removed
_DAYS_UNFINISHED = 2
_ENTRY = re.compile(r"\d+-[0-9a-f]{64}")
_UNFINISHED = re.compile(r"\.[0-9a-f]{32}\.tmp")  # of earlier versions, which held no lock
_DAY = 24 * 3600

_log = logging.getLogger(__name__)


def read_columns(reading: Reading, cache: Path) -> Columns:
    """The columns of files: from the cache, else read, and kept there if they were read whole.

    Where the cache cannot be written a warning is logged, and they are kept in temporary files;
    where these cannot be written either, in memory.

    Raises:
        InputError: a file cannot be read.
    """
    found = _found(reading, cache)
    if found is not None:
        return found
    ways: tuple[tuple[Callable[[], Columns], str], ...] = (
        (lambda: _cached(reading, cache), "these data are read into temporary files"),
        (lambda: _temporary(reading), "these data are read into memory"),
    )
    for way, instead in ways:
        try:
            return way()
        except OSError as error:
            where = error.filename or cache
            _log.warning("%s: cannot be written (%s): %s", where, error.strerror, instead)
    return _in_memory(reading)


def _found(reading: Reading, cache: Path) -> Columns | None:
    if not all(file.is_file() for file in reading.files):
        return None  # a pipe can be read but once
    try:
        if not any(cache.glob(f"{key_start(reading.files)}*")):
            return None
        entry = cache / key_of(reading.files)
    except OSError:
        return None  # reading will say it better
    columns = _opened(entry)
    if columns is not None:
        with suppress(OSError):
            (entry / SUMMARY).touch()
    return columns


def _opened(entry: Path) -> Columns | None:
    try:
        return mapped(entry)
    except (OSError, ValueError, InputError):
        return None


def _cached(reading: Reading, cache: Path) -> Columns:
    cache.mkdir(parents=True, exist_ok=True)
    with staging(cache, ".", ".tmp") as directory:  # it is removed, but what is mapped stays
        columns, key = _written(reading, directory)
        if key is not None:
            _give_name(directory, cache / key)
            _remove_unused(cache)
    return columns


def _temporary(reading: Reading) -> Columns:
    with staging(Path(tempfile.gettempdir()), "o2v_jax-data-", mode=0o700) as directory:
        return _written(reading, directory)[0]


def _in_memory(reading: Reading) -> Columns:
    buffers: dict[str, BytesIO] = {}
    written = reading.into(lambda name: buffers.setdefault(name, BytesIO()))
    return in_memory(buffers, written.summary)


def _written(reading: Reading, directory: Path) -> tuple[Columns, str | None]:
    with ExitStack() as stack:
        written = reading.into(lambda name: stack.enter_context((directory / name).open("wb")))
    (directory / SUMMARY).write_bytes(msgspec.json.encode(written.summary))
    return mapped(directory), written.key


def _give_name(directory: Path, entry: Path) -> None:
    """Renames a finished entry, unless there is a good one of this name."""
    if entry.exists() and _opened(entry) is None:
        shutil.rmtree(entry, ignore_errors=True)
    with suppress(OSError):
        directory.rename(entry)


def _remove_unused(cache: Path) -> None:
    for path in cache.iterdir():
        if _ENTRY.fullmatch(path.name):
            _remove_after(DAYS_UNUSED, path, path / SUMMARY)
        elif _UNFINISHED.fullmatch(path.name):
            _remove_after(_DAYS_UNFINISHED, path, path)


def _remove_after(days: int, path: Path, used: Path) -> None:
    try:
        age = time.time() - used.stat().st_mtime
    except OSError:
        age = 0.0
    if age > days * _DAY:
        shutil.rmtree(path, ignore_errors=True)
