"""Results on their way to their files, which appear under their names only when complete."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from o2v_jax.errors import InputError
from o2v_jax.transform.answers import Tally
from o2v_jax.transform.parquet import as_parquet
from o2v_jax.transform.reading import Position
from o2v_jax.transform.state import Progress, State, sync


class Output:
    """The results of one file.

    Args:
        state: of the run, which is told what is on the disk.
        number: the file's.
        target: where the results go.
        parquet: whether they are an Arrow stream, of which a Parquet file is made.
    """

    def __init__(self, state: State, number: int, target: Path, *, parquet: bool) -> None:
        self.tally = Tally()
        self._state, self._number, self._target = state, number, target
        self._parquet = parquet
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
            complete(self._state, self._number, self._target, parquet=self._parquet)

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
                raise InputError(f"{path}: has lost results: begin anew with --no-resume")
            self._stream.seek(self._progress.written)
            self._stream.truncate()
        return self._stream


def complete(state: State, number: int, target: Path, *, parquet: bool) -> None:
    """Gives the results of a file their name, unless an interrupted run just had."""
    partial = state.partial(number)
    if not partial.exists():
        if not target.exists():
            raise InputError(f"{target}: is gone: begin anew with --no-resume")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if parquet:
        _finish_parquet(partial, target, state.of(number).errors)
    else:
        partial.rename(target)
    sync(target.parent)


def _finish_parquet(partial: Path, target: Path, errors: int) -> None:
    finished = partial.with_suffix(".parquet")
    as_parquet(partial, finished, errors=errors)
    sync(finished)
    finished.rename(target)
    partial.unlink()
