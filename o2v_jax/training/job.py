"""A training job: files in, a model directory out, with its state and reports beside it."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

from o2v_jax.checkpoint import Model, check_class_names, check_model_target, check_tokenizers, save
from o2v_jax.data.tokenizers import Tokenizers
from o2v_jax.errors import CheckpointError, InputError, Interrupted
from o2v_jax.hyperparameters import Hyperparameters, objective_to_json
from o2v_jax.signals import Signals
from o2v_jax.training.data.dataset import Dataset, read_dataset
from o2v_jax.training.data.pretrained import auxiliary_file, read_pretrained
from o2v_jax.training.loop.hosts import Hosts
from o2v_jax.training.loop.run import Run
from o2v_jax.training.loop.shared_state import SharedCheckpoints
from o2v_jax.training.loop.state import SAVING_INTERVAL_S, Checkpoints, check_state_directory
from o2v_jax.training.loop.state_files import lock
from o2v_jax.training.loop.trained_model import make_model
from o2v_jax.training.optim.placement import choose_placement
from o2v_jax.training.report.card import check_license
from o2v_jax.training.report.folder import check_report, write_report, write_skipped
from o2v_jax.training.report.metric_lines import Reporter, make_silent_reporter
from o2v_jax.util import hash_file, require_all_local

AUXILIARY_FILES = tuple(
    f"enc{side}_{name}" for side in (0, 1) for name in ("pretrained_embedding_file", "vocab_file")
)
Described: TypeAlias = dict[str, list[dict[str, str]]]


def describe_files(files: Mapping[str, Sequence[Path]]) -> Described:
    """For each name, its files by name and SHA-256."""
    return {
        name: [{"name": path.name, "sha256": _hash_file(path)} for path in paths]
        for name, paths in files.items()
    }


def find_auxiliary_files(config: Hyperparameters, directory: Path | None) -> list[Path]:
    """The files that hyperparameters name, each once."""
    found = (auxiliary_file(config, name, directory) for name in AUXILIARY_FILES)
    return sorted({path for path in found if path is not None})


def identify_run(config: Hyperparameters, files: Described, **others: object) -> dict[str, str]:
    """What decides a run's outcome, by name: its hyperparameters, its data, and `others`."""
    digests = {name: _digest([part["sha256"] for part in parts]) for name, parts in files.items()}
    named = {name.replace("_", " "): str(value) for name, value in others.items()}
    if config.objective is not None:
        named["objective"] = json.dumps(objective_to_json(config.objective))
    return {**config.to_strings(), **{f"{n} data": value for n, value in digests.items()}, **named}


def _hash_file(path: Path) -> str:
    if not path.is_file():  # a pipe, which nobody can read again: no two are the same
        return uuid4().hex
    return hash_file(path)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]


CHANNELS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a training command was asked for.

    Attributes:
        config: the hyperparameters.
        train: files of the training channel; likewise `validation` and `test`.
        output: the model directory to write.
        checkpoints: where the state of an unfinished run is kept; default OUTPUT.checkpoints.
        synced_checkpoints: whether another program copies them to storage and back; see
            `Checkpoints`.
        report: where tables and plots go; default OUTPUT.report.
        auxiliary: where the files are that hyperparameters name.
        tokenizers: of in0 and in1, which the model keeps; likewise `class_names`.
        seed: decides the initial values, the order of the records and the dropout.
        skip: whether bad records are left out, counted and listed, or end the job.
        cache: where parsed data are kept; default the user's cache.
        checkpoint_interval: seconds between two savings of the state.
        resume: whether to resume an interrupted run of the same job.
        keep_interrupted: whether an interrupted run leaves its best epoch so far as a model.
        command: what the user typed, for the model's provenance.
        license_id: of the model, for its card, such as "apache-2.0".
        devices: how many devices of each host share the run; default all.
        shard_tables: whether each device holds a share of the token tables' rows, or all of them.
        hosts: which hosts train together; the first one writes everything, and its name is on the
            metric lines.
        failed: is called with the reason, when another host's failure ends this process.

    Raises:
        InputError: a path is a URL, or the licence is not one line.
    """

    config: Hyperparameters
    train: tuple[Path, ...]
    output: Path
    validation: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()
    checkpoints: Path | None = None
    synced_checkpoints: bool = False
    report: Path | None = None
    auxiliary: Path | None = None
    tokenizers: Tokenizers | None = None
    class_names: tuple[str, ...] = ()
    seed: int = 0
    skip: bool = False
    cache: Path | None = None
    checkpoint_interval: float = SAVING_INTERVAL_S
    resume: bool = True
    keep_interrupted: bool = False
    command: str = ""
    license_id: str = ""
    devices: int | None = None
    shard_tables: bool = False
    hosts: Hosts = field(default_factory=Hosts)
    failed: Callable[[str], None] = lambda _: None
    signals: Signals = field(default_factory=Signals)

    def __post_init__(self) -> None:
        files = *self.train, *self.validation, *self.test
        folders = self.output, self.checkpoints, self.report, self.auxiliary, self.cache
        require_all_local(*files, *folders)
        check_license(self.license_id)

    def run(self) -> Model:
        """Trains and writes the model. Inputs are checked before training begins.

        On several hosts each calls it, and only the first one writes.

        Raises:
            O2VError: a file, a record or a hyperparameter is not usable.
            Interrupted: SIGTERM or Ctrl-C ended the run, after its state was saved.
        """
        with self.signals.caught(), self.hosts.join(self.failed):
            if self.hosts.first:
                self._check_places()
            check_class_names(self.class_names, self.config)
            if self.tokenizers is not None:
                check_tokenizers(self.tokenizers, self.config)
            run = self._prepare_run()
            # a signal that arrives once training is done waits until the model is written
            with self.signals.deferred(), self._open_checkpoints() as run.checkpoints:
                model = self._train(run)
                run.checkpoints.discard()
                self._write_report(run)
        return model

    def _check_places(self) -> None:
        """Checks that the outputs can be written, before hours of training."""
        check_model_target(self.output)
        folders = {"report": self._report, "checkpoints": self._state, "cache": self.cache}
        for name, folder in folders.items():
            if folder and folder.resolve().is_relative_to(self.output.resolve()):
                raise InputError(
                    f"{name} {folder} lies in {self.output}, which holds the model alone"
                )
        check_report(self._report)
        check_state_directory(self._state, synced=self.synced_checkpoints)

    def _prepare_run(self) -> Run:
        """The run, with everything read that it needs."""
        data = {name: self._read(name, files) for name, files in self._list_files().items()}
        placement = {"devices": str(self.devices), "shard-tables": str(self.shard_tables)}
        self.hosts.require_same(self._identity | placement)
        pretrained = read_pretrained(self.config, self.auxiliary)
        if self.hosts.first:
            write_skipped(self._report, data)
        run = Run(
            *(self.config, data["train"], data.get("validation"), data.get("test")),
            seed=self.seed,
            reporter=Reporter(self.hosts.name) if self.hosts.first else make_silent_reporter(),
            pretrained=pretrained,
            signals=self.signals,
            placement=choose_placement(devices=self.devices, shard_tables=self.shard_tables),
            hosts=self.hosts,
        )
        run.on_epoch = lambda *_: self._write_report(run)
        return run

    def _write_report(self, run: Run) -> None:
        if self.hosts.first:
            write_report(self._report, run)

    def _read(self, channel: str, files: tuple[Path, ...]) -> Dataset:
        positives = channel == "train" and self.config.negative_sampling_rate > 0
        return read_dataset(
            files, self.config, skip=self.skip, positives=positives, cache=self.cache
        )

    def _train(self, run: Run) -> Model:
        """Trains, and writes the model; after a signal that of the best epoch, if asked to."""
        try:
            run.fit()
        except Interrupted:
            if self.keep_interrupted:
                self._save(self._make_model(run))
            self._write_report(run)
            raise
        try:
            model = self._make_model(run)
            self._save(model)
        except CheckpointError:  # a full disk, say: the same command then tries again
            if self.hosts.alone:  # the others would have to take part
                run.save()
            raise
        return model

    def _save(self, model: Model) -> None:
        if self.hosts.first:
            save(model, self.output)

    def _list_files(self) -> dict[str, tuple[Path, ...]]:
        return {name: getattr(self, name) for name in CHANNELS if getattr(self, name)}

    @contextmanager
    def _open_checkpoints(self) -> Iterator[Checkpoints | SharedCheckpoints]:
        alone = lock(self._state) if self.hosts.first else nullcontext()
        with alone, closing(self._make_checkpoints()) as checkpoints:
            if not self.resume:
                checkpoints.discard()
            yield checkpoints

    def _make_checkpoints(self) -> Checkpoints | SharedCheckpoints:
        own = None
        if self.hosts.first:
            own = Checkpoints(
                self._state,
                self._identity,
                self.checkpoint_interval,
                synced=self.synced_checkpoints,
            )
        if own is not None and self.hosts.alone:
            return own
        return SharedCheckpoints(self._state, own)

    def _make_model(self, run: Run) -> Model:
        provenance = {"command": self.command, "files": self._sources}
        names = self.class_names
        return make_model(run, self.tokenizers, names, provenance, self.license_id)

    @property
    def _report(self) -> Path:
        return self.report or name_sibling(self.output, "report")

    @property
    def _state(self) -> Path:
        return self.checkpoints or name_sibling(self.output, "checkpoints")

    @cached_property
    def _identity(self) -> dict[str, str]:
        return identify_run(self.config, self._sources, seed=self.seed, skipping=self.skip)

    @cached_property
    def _sources(self) -> Described:
        auxiliary = find_auxiliary_files(self.config, self.auxiliary)
        return describe_files(
            self._list_files() | ({"auxiliary": tuple(auxiliary)} if auxiliary else {})
        )


def name_sibling(output: Path, what: str) -> Path:
    """OUTPUT.checkpoints and the like."""
    output = output.resolve()
    return output.with_name(f"{output.name}.{what}")
