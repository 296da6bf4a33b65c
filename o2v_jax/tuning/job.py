"""A tuning job: files in, a study with its best model and reports out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rich.console import Console

from o2v_jax.checkpoint import (
    check_class_names,
    check_model_target,
    check_tokenizers,
    compose_inputs,
)
from o2v_jax.data.tokenizers import Tokenizers
from o2v_jax.errors import InputError, Interrupted
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.signals import Signals
from o2v_jax.staging import remove_abandoned
from o2v_jax.training import Dataset, Run, read_dataset
from o2v_jax.training.data.dataset import warn_of_unused_negatives
from o2v_jax.training.data.pretrained import Pretrained, read_pretrained
from o2v_jax.training.job import (
    CHANNELS,
    Described,
    describe_files,
    find_auxiliary_files,
    identify_run,
)
from o2v_jax.training.report.folder import write_skipped
from o2v_jax.training.report.metric_lines import Reporter
from o2v_jax.tuning.plot import plot
from o2v_jax.tuning.report import (
    Winner,
    describe_last,
    describe_objective,
    describe_rows,
    list_rows,
    make_table,
    rank_rows,
    write_files,
)
from o2v_jax.tuning.search import Search
from o2v_jax.tuning.search_space import Space, make_space
from o2v_jax.tuning.study import ObjectiveMetric, Study, open_journal
from o2v_jax.util import hash_bytes, require_all_local

STUDY = "study.log"
PIPE_WIDTH = 200  # columns of the table where there is no terminal


@dataclass(frozen=True)
class _Inputs:
    """What the trials of a search share."""

    data: dict[str, Dataset]
    pretrained: tuple[Pretrained, ...]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What a tuning command was asked for.

    Attributes:
        base: the hyperparameters that are not searched.
        train: files of the training channel; likewise `validation` and `test`.
        output: the directory for the study, the best model and the reports.
        tune: what is searched, as NAME or NAME=RANGE; nothing for the default search.
        objective_metric: its documented name, such as validation:accuracy; by default the one that
            early stopping judges by.
        trials: how many trials are to be finished in all.
        timeout: seconds after which no trial is begun.
        pruning: whether trials that are behind the median of those before are given up.
        seed: decides which values are tried, and every trial's training.
        auxiliary: where the files are that hyperparameters name.
        tokenizers: of in0 and in1, which the model keeps; likewise `class_names`.
        skip: whether bad records are left out, counted and listed, or end the job.
        cache: where parsed data are kept; default the user's cache.
        command: what the user typed, for the model's provenance.

    Raises:
        InputError: a path is a URL.
    """

    base: Hyperparameters
    train: tuple[Path, ...]
    validation: tuple[Path, ...]
    output: Path
    test: tuple[Path, ...] = ()
    tune: tuple[str, ...] = ()
    objective_metric: str | None = None
    trials: int = 20
    timeout: float | None = None
    pruning: bool = True
    seed: int = 0
    auxiliary: Path | None = None
    tokenizers: Tokenizers | None = None
    class_names: tuple[str, ...] = ()
    skip: bool = False
    cache: Path | None = None
    command: str = ""
    signals: Signals = field(default_factory=Signals)

    def __post_init__(self) -> None:
        files = *self.train, *self.validation, *self.test
        require_all_local(*files, self.output, self.auxiliary, self.cache)

    def run(self) -> None:
        """Runs the trials that are missing; writes the best model, the reports and the table.

        Raises:
            O2VError: a file, a record, a hyperparameter or the directory is not usable, or no
                trial could be trained.
            Interrupted: SIGTERM or Ctrl-C ended the search; what is done is kept.
        """
        space = make_space(self.base, self.tune)
        objective = ObjectiveMetric.of(self.objective_metric, self.base, tuple(self._files))
        self._check_output()
        with self.signals.caught():
            # a new study is begun once all is read; whether one is resumed is said before reading
            inputs = None if (self.output / STUDY).exists() else self._read_inputs()
            with self._open_study(space, objective) as study:
                self._search_in(study, inputs or self._read_inputs())

    def _search_in(self, study: Study, inputs: _Inputs) -> None:
        """Runs the trials that are missing from a study."""
        write_skipped(self.output, inputs.data)
        search = self._make_search(study, inputs)
        study.recover()
        try:
            search.run(self.trials, self.timeout)
        except Interrupted as stop:
            study.recover(killed=False)
            self._conclude(study)
            raise Interrupted(stop.signal, self.output) from None
        self._conclude(study)
        self._check_success(study)
        self._report_unfinished(study)

    def _check_output(self) -> None:
        known = (self.output / STUDY).exists()
        if self.output.exists() and any(self.output.iterdir()) and not known:
            raise InputError(f"{self.output}: holds other things than a study; choose another name")
        check_model_target(self.output / "model")

    @contextmanager
    def _open_study(self, space: Space, objective: ObjectiveMetric) -> Iterator[Study]:
        """The study in the output directory, which is continued if there is one."""
        searched = "; ".join(f"{name}={values}" for name, values in space.ranges.items())
        marks = {"seed": self.seed, "objective_metric": objective, "search_space": searched}
        marks |= {"skipping": self.skip, "pruning": self.pruning}
        search = identify_run(self.base, self._sources | self._vocabularies, **marks)
        self.output.mkdir(parents=True, exist_ok=True)
        with open_journal(self.output / STUDY) as storage:
            remove_abandoned(self.output, ".model.", ".tmp")
            study = Study(storage, space, objective, pruning=self.pruning)
            study.claim(search, self.output)
            yield study

    def _read_inputs(self) -> _Inputs:
        check_class_names(self.class_names, self.base)
        if self.tokenizers is not None:
            check_tokenizers(self.tokenizers, self.base)
        data = {name: self._read(name, files) for name, files in self._files.items()}
        warn_of_unused_negatives(self.base, data["train"])
        return _Inputs(data, read_pretrained(self.base, self.auxiliary))

    @property
    def _vocabularies(self) -> Described:
        if self.tokenizers is None:
            return {}
        _, files = compose_inputs(self.tokenizers)
        found = [{"name": name, "sha256": hash_bytes(data)} for name, data in files.items()]
        return {"vocabulary": found}

    def _make_search(self, study: Study, inputs: _Inputs) -> Search:
        known = {"command": self.command, "files": self._sources}
        winner = Winner(self.output / "model", self.tokenizers, self.class_names, known)

        def keep(run: Run, value: float) -> None:
            number = len(study.finished) + 1
            tuning = {"objective": str(study.objective), "value": value, "trial": number}
            winner.replace(run, tuning)

        def tell() -> None:
            self._reporter.write_line(
                describe_last(write_files(study, self.output), study, self.trials)
            )

        return Search(
            study=study,
            data=inputs.data,
            pretrained=inputs.pretrained,
            seed=self.seed,
            signals=self.signals,
            keep=keep,
            tell=tell,
        )

    def _read(self, channel: str, files: tuple[Path, ...]) -> Dataset:
        positives = channel == "train" and self.base.negative_sampling_rate > 0
        return read_dataset(files, self.base, skip=self.skip, positives=positives, cache=self.cache)

    def _conclude(self, study: Study) -> None:
        """Writes the reports once more, for a kill may have come before, and shows the best."""
        rows = write_files(study, self.output)
        if not rank_rows(rows, study):
            return
        plot(rows, study, self.output / "tuning.png")
        console = Console(highlight=False)
        if not console.is_terminal:
            console = Console(highlight=False, width=PIPE_WIDTH)
        self._reporter.write_line(describe_rows(rows, study))
        with console.capture() as table:  # Rich would end the process where nobody reads any more
            console.print(make_table(rows, study))
        self._reporter.write_line(table.get().rstrip("\n"))
        if options := describe_objective(self.base):
            self._reporter.write_line(options)

    def _check_success(self, study: Study) -> None:
        rows = list_rows(study)
        if rows and not rank_rows(rows, study):
            reason = rows[-1].reason
            raise InputError(f"none of {len(rows)} trials could be trained; the last: {reason}")

    def _report_unfinished(self, study: Study) -> None:
        finished = len(study.finished)
        if finished < self.trials:
            self._reporter.write_line(
                f"{finished} of {self.trials} trials are finished; the same command resumes"
            )

    @property
    def _files(self) -> dict[str, tuple[Path, ...]]:
        return {name: getattr(self, name) for name in CHANNELS if getattr(self, name)}

    @cached_property
    def _sources(self) -> Described:
        auxiliary = find_auxiliary_files(self.base, self.auxiliary)
        return describe_files(self._files | ({"auxiliary": tuple(auxiliary)} if auxiliary else {}))

    @cached_property
    def _reporter(self) -> Reporter:
        return Reporter()
