"""A transform of many files, which are read, scored and written at the same time."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from o2v_jax.errors import InputError, Interrupted, O2VError
from o2v_jax.transform.engines.base import Engine, Step
from o2v_jax.transform.prefetch import map_in_order, prefetch
from o2v_jax.transform.read.parquet import read_parquet_parts
from o2v_jax.transform.read.parts import Part, Position, read_parts
from o2v_jax.transform.read.sources import Source, show_path
from o2v_jax.transform.settings import FileSettings, TransformSettings
from o2v_jax.transform.write.outputs import TransformReport, Writer, complete, explain_write_failure
from o2v_jax.transform.write.resuming import resume_run
from o2v_jax.transform.write.state import RunState
from o2v_jax.util import require_all_local

WRITES_AHEAD = 2  # slices of results that wait for the writer
OnProgress: TypeAlias = Callable[[int, int], None]


def _ignore(_records: int, _read: int) -> None:
    pass


@dataclass
class Transform:
    """Files to be transformed by one model.

    Attributes:
        sources: the files.
        output: the folder of the results.
        settings: as of CreateTransformJob.
        engine: computes the results.
        skip: whether a bad record gets `{"error": ...}` as its result, or fails its file.
        resume: whether to resume an interrupted run, or to start over and replace results.
        ahead: steps that are read and decoded before they can be computed.
        on_progress: called with the records and the bytes of input files that are done; for what
            an interrupted run did, with bytes alone.
    """

    sources: Sequence[Source]
    output: Path
    settings: TransformSettings
    engine: Engine
    skip: bool = False
    resume: bool = True
    ahead: int = 2
    on_progress: OnProgress = _ignore

    def __post_init__(self) -> None:
        require_all_local(self.output)

    def run(self) -> TransformReport:
        """Transforms all files. The report names those that fail, and the log says why.

        Results that an earlier run made of the same files, with the same settings, are kept.

        Raises:
            InputError: another run's state or results are in the way, or nothing can be written;
                then the same command resumes.
            Interrupted: by a signal; the same command resumes.
        """
        self._files = [self.settings.of(source.path) for source in self.sources]
        with RunState(self.output) as state:
            try:
                return self._run(state)
            except Interrupted as stop:
                raise Interrupted(stop.signal, state.folder if state.begun else None) from stop

    def _run(self, state: RunState) -> TransformReport:
        report = TransformReport(len(self.sources))
        try:
            self._begin(state)
            todo = list(self._list_unfinished(state, report))
        except OSError as error:
            raise explain_write_failure(self.output, error) from error
        writer = Writer(self.output, self.sources, self._files, state, report, skip=self.skip)
        with (
            closing(prefetch(self._make_steps(todo, state), ahead=self.ahead)) as steps,
            closing(writer),
            closing(self.engine.compute(steps)) as results,
            closing(map_in_order(writer.run_step, results, ahead=WRITES_AHEAD)) as done,
        ):
            for records, read in done:
                self.on_progress(records, read)
        if not report.failed:
            state.remove()
        return report

    def _begin(self, state: RunState) -> None:
        identity = json.loads(json.dumps(asdict(self.settings) | {"model": self.engine.identity}))
        if self.resume:
            resume_run(state, identity, self.sources, knows_model=self.engine.knows_model)
        else:
            state.begin(identity, self.sources)

    def _list_unfinished(self, state: RunState, report: TransformReport) -> Iterator[int]:
        """The numbers of files that are not complete; what was done of all is counted."""
        for number, source in enumerate(self.sources):
            progress = state.of(number)
            if progress.errors and not self.skip:
                raise InputError(
                    f"{show_path(source.path)}: its results hold {progress.errors} bad records, "
                    "left by --on-error skip: give it again, or --no-resume to start over"
                )
            report.records += progress.records
            report.errors += progress.errors
            self.on_progress(0, progress.position.read)
            if not progress.position.final:
                yield number
                continue
            try:
                complete(state.partial(number), self.output / source.target, state.origin(number))
                report.kept += 1
            except O2VError as error:
                report.fail(source.path, error)

    def _make_steps(self, numbers: Iterable[int], state: RunState) -> Iterator[Step]:
        """The steps of all files; a file that cannot be read fails, and others continue."""
        for number in numbers:
            path = self.sources[number].path
            settings = self._files[number]
            name = show_path(path)
            try:
                for part in _read_parts(path, settings, state.of(number).position):
                    works = self.engine.split_work(part, name, settings, skip=self.skip)
                    yield from (Step(number, work) for work in works)
                    yield Step(number, end=part.end)
            except O2VError as error:
                yield Step(number, error=error)


def _read_parts(path: Path, settings: FileSettings, start: Position) -> Iterator[Part]:
    if not settings.parquet:
        return read_parts(path, settings, start)
    return read_parquet_parts(path, start)
