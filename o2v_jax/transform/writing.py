"""Results -> files, in a thread of its own; which files fail, and what all of it comes to."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from o2v_jax.errors import InputError, O2VError
from o2v_jax.transform.engines.local import Step, Written
from o2v_jax.transform.read.parts import Position
from o2v_jax.transform.read.sources import Source, os_reason, show_path
from o2v_jax.transform.settings import FileSettings
from o2v_jax.transform.write.outputs import Output
from o2v_jax.transform.write.state import State

log = logging.getLogger("o2v_jax")


@dataclass
class Report:
    """What a run did.

    Attributes:
        files: how many there are.
        kept: of them, those whose results were complete before.
        failed: those without results.
        records: of which there are results, those of the run that was gone on with too.
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


def cannot_write(folder: Path, error: OSError, target: Path | None = None) -> InputError:
    """The error of a full disk and the like: what folder, and at the results of which file."""
    at = f" with {show_path(target)}" if target else ""
    return InputError(
        f"{show_path(folder)}: cannot be written ({os_reason(error)}); what is done is kept: "
        f"the same command goes on{at}"
    )


class Writer:
    """Writes what is scored, file by file."""

    def __init__(
        self,
        folder: Path,
        sources: Sequence[Source],
        settings: Sequence[FileSettings],
        state: State,
        report: Report,
        *,
        skip: bool,
    ) -> None:
        self._folder, self._sources, self._settings = folder, sources, settings
        self._state, self._report, self._skip = state, report, skip
        self._outputs: dict[int, Output] = {}
        self._failed: set[int] = set()
        self._broken = False  # then nothing more may count as done

    def do(self, scored: tuple[Step, Written | None]) -> tuple[int, int]:
        """Does a step; the records and bytes of input that are done with it.

        Raises:
            InputError: results cannot be written.
        """
        step, results = scored
        if self._broken:
            raise InputError("stopped")
        if step.number in self._failed:
            return 0, 0
        try:
            return self._done(step, results)
        except OSError as error:
            target = self._folder / self._sources[step.number].target
            raise cannot_write(self._folder, error, target) from error

    def close(self) -> None:
        """Gives up what is not complete; on the disk it stays as far as it was noted."""
        for output in self._outputs.values():
            output.close()

    def _done(self, step: Step, results: Written | None) -> tuple[int, int]:
        try:
            return self._do(step, results)
        except O2VError as error:
            return 0, self._fail(step.number, error)
        except BaseException:
            self._broken = True
            raise

    def _do(self, step: Step, results: Written | None) -> tuple[int, int]:
        if step.error is not None:
            raise step.error
        output = self._output(step.number)
        if results is not None:
            return self._write(output, results, self._settings[step.number]), 0
        assert step.end is not None  # noqa: S101 - one of the three
        return 0, self._end(output, step.number, step.end)

    def _write(self, output: Output, results: Written, settings: FileSettings) -> int:
        before = output.tally.records
        output.write(results.text(settings, skip=self._skip, tally=output.tally))
        return output.tally.records - before

    def _end(self, output: Output, number: int, end: Position) -> int:
        before = output.progress
        output.part_done(end)
        self._report.records += output.progress.records - before.records
        self._report.errors += output.progress.errors - before.errors
        if end.final:
            del self._outputs[number]
        return end.read - before.position.read

    def _output(self, number: int) -> Output:
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
