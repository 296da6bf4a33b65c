"""Writes results to files, which appear under their names only once they are complete."""

import errno
import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from o2v_jax.atomic import sync
from o2v_jax.errors import InputError, O2VError
from o2v_jax.transform.engines.base import PartResults, Step
from o2v_jax.transform.read.parts import Position
from o2v_jax.transform.read.sources import Source, show_path
from o2v_jax.transform.settings import PARQUET_SUFFIX, FileSettings, is_parquet
from o2v_jax.transform.write.answers import RecordCounts
from o2v_jax.transform.write.origin import Origin, write_origin
from o2v_jax.transform.write.parquet import convert_to_parquet
from o2v_jax.transform.write.state import FileProgress, RunState
from o2v_jax.util import describe_os_error

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
        state: of the run, which records what is on the disk.
        number: the file's.
        target: where the results go.
    """

    def __init__(self, state: RunState, number: int, target: Path) -> None:
        self.counts = RecordCounts()
        self._state = state
        self._number = number
        self._target = target
        self._progress = state.of(number)
        self._stream: BinaryIO | None = None

    @property
    def progress(self) -> FileProgress:
        """How far the file is, as far as that is on the disk."""
        return self._progress

    def write(self, pieces: Iterable[bytes]) -> None:
        """Adds results behind those that there are."""
        stream = self._open()
        stream.writelines(pieces)

    def end_part(self, position: Position) -> None:
        """Keeps all results up to a position; completes the file if the position is final."""
        stream = self._open()
        stream.flush()
        os.fsync(stream.fileno())
        before = self._progress
        self._progress = FileProgress(
            position,
            stream.tell(),
            before.records + self.counts.records,
            before.errors + self.counts.errors,
        )
        self.counts = RecordCounts()
        self._state.note(self._number, self._progress)
        if position.final:
            self.close()
            state = self._state
            number = self._number
            complete(state.partial(number), self._target, state.origin(number))

    def close(self) -> None:
        """Gives up what was not kept."""
        if self._stream:
            with suppress(OSError):  # a full disk, which the first write has reported
                self._stream.close()

    def _open(self) -> BinaryIO:
        if self._stream is None:
            path = self._state.partial(self._number)
            self._stream = path.open("r+b" if path.exists() else "w+b")
            if self._stream.seek(0, os.SEEK_END) < self._progress.written:
                raise InputError(f"{show_path(path)}: has lost results: rerun the command")
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
        finished = _finish(partial, target, origin.errors)
        write_origin(finished, origin)
        finished.rename(target)
    except OSError as error:
        if error.errno not in _OF_A_NAME:
            raise
        raise InputError(f"{show_path(target)}: cannot be written ({error.strerror})") from error
    partial.unlink(missing_ok=True)
    sync(target.parent)


def _finish(partial: Path, target: Path, errors: int) -> Path:
    """The complete file, still without its name."""
    if not is_parquet(target.with_suffix("")):
        return partial
    finished = partial.with_suffix(PARQUET_SUFFIX)
    convert_to_parquet(partial, finished, show_path(target), errors=errors)
    return finished


log = logging.getLogger("o2v_jax")


@dataclass
class TransformReport:
    """What a run did.

    Attributes:
        files: how many there are.
        kept: of them, those whose results were complete before.
        failed: those without results.
        records: of which there are results, including those of the resumed run.
        errors: of these, how many are bad.
    """

    files: int
    kept: int = 0
    failed: list[Path] = field(default_factory=list)
    records: int = 0
    errors: int = 0

    def fail(self, path: Path, error: O2VError) -> None:
        """Counts a file as failed, and says why."""
        log.error("%s", error)
        self.failed.append(path)


def explain_write_failure(folder: Path, error: OSError, target: Path | None = None) -> InputError:
    """The error of a full disk and the like: what folder, and at the results of which file."""
    where = f" at {show_path(target)}" if target else ""
    return InputError(
        f"{show_path(folder)}: cannot be written ({describe_os_error(error)}); "
        f"what is done is kept: the same command resumes{where}"
    )


class Writer:
    """Writes what is scored, file by file."""

    def __init__(
        self,
        folder: Path,
        sources: Sequence[Source],
        settings: Sequence[FileSettings],
        state: RunState,
        report: TransformReport,
        *,
        skip: bool,
    ) -> None:
        self._folder = folder
        self._sources = sources
        self._settings = settings
        self._state = state
        self._report = report
        self._skip = skip
        self._outputs: dict[int, Output] = {}
        self._failed: set[int] = set()
        self._broken = False  # then nothing more may count as done

    def run_step(self, scored: tuple[Step, PartResults | None]) -> tuple[int, int]:
        """Runs a step; returns the records and the bytes of input that are done with it.

        Raises:
            InputError: results cannot be written.
        """
        step, results = scored
        if self._broken:
            raise InputError("stopped")
        if step.number in self._failed:
            return 0, 0
        try:
            return self._run_or_fail(step, results)
        except OSError as error:
            target = self._folder / self._sources[step.number].target
            raise explain_write_failure(self._folder, error, target) from error

    def close(self) -> None:
        """Gives up what is not complete; on the disk it stays as far as it was noted."""
        for output in self._outputs.values():
            output.close()

    def _run_or_fail(self, step: Step, results: PartResults | None) -> tuple[int, int]:
        try:
            return self._run(step, results)
        except O2VError as error:
            return 0, self._fail(step.number, error)
        except BaseException:
            self._broken = True
            raise

    def _run(self, step: Step, results: PartResults | None) -> tuple[int, int]:
        if step.error is not None:
            raise step.error
        output = self._get_output(step.number)
        if results is not None:
            return self._write(output, results, self._settings[step.number]), 0
        assert step.end is not None  # noqa: S101 - one of the three
        return 0, self._end(output, step.number, step.end)

    def _write(self, output: Output, results: PartResults, settings: FileSettings) -> int:
        before = output.counts.records
        output.write(results.encode(settings, skip=self._skip, counts=output.counts))
        return output.counts.records - before

    def _end(self, output: Output, number: int, end: Position) -> int:
        before = output.progress
        output.end_part(end)
        self._report.records += output.progress.records - before.records
        self._report.errors += output.progress.errors - before.errors
        if end.final:
            del self._outputs[number]
        return end.read - before.position.read

    def _get_output(self, number: int) -> Output:
        if number not in self._outputs:
            target = self._folder / self._sources[number].target
            self._outputs[number] = Output(self._state, number, target)
        return self._outputs[number]

    def _fail(self, number: int, error: O2VError) -> int:
        self._failed.add(number)
        self._report.fail(self._sources[number].path, error)
        if output := self._outputs.pop(number, None):
            output.close()
        return self._sources[number].size - self._state.of(number).position.read
