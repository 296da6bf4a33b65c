"""Results on their way to their files, which appear under their names only when complete."""

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from o2v_jax.errors import InputError
from o2v_jax.transform.read.parquet import as_parquet
from o2v_jax.transform.read.parts import Position
from o2v_jax.transform.read.sources import show_path
from o2v_jax.transform.settings import PARQUET, is_parquet
from o2v_jax.transform.write.answers import Tally
from o2v_jax.transform.write.origin import Origin, write_origin
from o2v_jax.transform.write.state import Progress, State, sync

# what is wrong with one name, and leaves room for others
_OF_A_NAME = {
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.EILSEQ,
    errno.ELOOP,
}


class Output:
    """The results of one file.

    Args:
        state: of the run, which is told what is on the disk.
        number: the file's.
        target: where the results go.
    """

    def __init__(self, state: State, number: int, target: Path) -> None:
        self.tally = Tally()
        self._state, self._number, self._target = state, number, target
        self._progress = state.of(number)
        self._stream: BinaryIO | None = None

    @property
    def progress(self) -> Progress:
        """How far the file is, as far as that is on the disk."""
        return self._progress

    def write(self, pieces: Iterable[bytes]) -> None:
        """Adds results behind those that there are."""
        stream = self._opened()
        stream.writelines(pieces)

    def part_done(self, position: Position) -> None:
        """All results up to a position have been written: they are kept, and the file if final."""
        stream = self._opened()
        stream.flush()
        os.fsync(stream.fileno())
        before = self._progress
        self._progress = Progress(
            position,
            stream.tell(),
            before.records + self.tally.records,
            before.errors + self.tally.errors,
        )
        self.tally = Tally()
        self._state.note(self._number, self._progress)
        if position.final:
            self.close()
            state, number = self._state, self._number
            complete(state.partial(number), self._target, state.origin(number))

    def close(self) -> None:
        """Gives up what was not kept."""
        if self._stream:
            with suppress(OSError):  # a full disk, of which the first to write has told
                self._stream.close()

    def _opened(self) -> BinaryIO:
        if self._stream is None:
            path = self._state.partial(self._number)
            self._stream = path.open("r+b" if path.exists() else "w+b")
            if self._stream.seek(0, os.SEEK_END) < self._progress.written:
                raise InputError(f"{show_path(path)}: has lost results: give the command again")
            self._stream.seek(self._progress.written)
            self._stream.truncate()
        return self._stream


def complete(partial: Path, target: Path, origin: Origin) -> None:
    """Gives complete results their name, unless an interrupted run just had.

    Raises:
        InputError: they cannot have it; other files can.
    """
    if not partial.exists():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        finished = _finished(partial, target, origin.errors)
        write_origin(finished, origin)
        finished.rename(target)
    except OSError as error:
        if error.errno not in _OF_A_NAME:
            raise
        raise InputError(f"{show_path(target)}: cannot be written ({error.strerror})") from error
    partial.unlink(missing_ok=True)
    sync(target.parent)


def _finished(partial: Path, target: Path, errors: int) -> Path:
    """The complete file, still without its name."""
    if not is_parquet(target.with_suffix("")):
        return partial
    finished = partial.with_suffix(PARQUET)
    as_parquet(partial, finished, show_path(target), errors=errors)
    return finished
