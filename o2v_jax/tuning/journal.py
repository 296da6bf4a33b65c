"""The file that a study is kept in: one change a line, safe against a kill at any point."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from o2v_jax.atomic import try_lock
from o2v_jax.errors import InputError


@contextmanager
def journal(file: Path) -> Iterator[JournalStorage]:
    """The study's storage, for this process alone until the block ends.

    Every change is appended and brought to the disk before it counts. A last line that a kill cut
    short is taken off; the lock is the kernel's, so none is left behind.

    Raises:
        InputError: another process is at work on it, or it is no such file.
    """
    with file.open("a+b") as stream:
        if try_lock(stream.fileno()) is False:
            raise InputError(f"{file.parent}: another o2v tune is at work there")
        storage = _storage(file)
        _drop_torn_line(stream)
        yield storage


def _drop_torn_line(stream: BinaryIO) -> None:
    stream.seek(0)
    written = stream.read()
    whole = written.rfind(b"\n") + 1
    if whole < len(written):
        stream.truncate(whole)
        os.fsync(stream.fileno())


def _storage(file: Path) -> JournalStorage:
    try:
        return JournalStorage(JournalFileBackend(str(file), _Held(str(file))))
    except (ValueError, TypeError, KeyError, AssertionError) as error:
        raise InputError(f"{file}: is not a study that o2v tune wrote") from error


class _Held(JournalFileOpenLock):
    """The lock that `journal` holds all the time, so that there is none to take for a change.

    Optuna's own is a file, which a kill leaves behind and which the next process waits for.
    """

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass
