"""A study: which search it belongs to, its trials, and how it continues after a kill."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.staging import try_lock
from o2v_jax.training.loop.evaluation import list_metrics
from o2v_jax.training.report.metric_lines import HIGHER_IS_BETTER
from o2v_jax.tuning.search_space import Space


@dataclass(frozen=True)
class ObjectiveMetric:
    """A metric of a channel, such as validation:accuracy."""

    channel: str
    metric: str

    @classmethod
    def of(
        cls, name: str | None, config: Hyperparameters, channels: Sequence[str]
    ) -> "ObjectiveMetric":
        """The metric of that name; without one that which early stopping judges by.

        Raises:
            InputError: it is not a metric of such a model, or of a channel that is not given.
        """
        metrics = list_metrics(config)
        judged = [channel for channel in channels if channel != "train"]
        valid = [cls(channel, metric) for channel in judged for metric in metrics]
        for objective in valid:
            if str(objective) == (name or f"validation:{metrics[0]}"):
                return objective
        raise InputError(
            f"--objective-metric {name}: must be one of {', '.join(map(str, valid))}, metrics of "
            f"{_describe_kind(config)} on the channels given"
        )

    def __str__(self) -> str:
        return f"{self.channel}:{self.metric}"

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """What Optuna is to do with the metric."""
        return "maximize" if self.metric in HIGHER_IS_BETTER else "minimize"

    def is_better(self, one: float, other: float) -> bool:
        """Whether `one` is strictly better than `other`."""
        return one > other if self.direction == "maximize" else one < other

    def get_reached(self, metrics: Mapping[str, Any]) -> float:
        """Its value among a finished run's metrics, which are those of the model that is kept."""
        return float(metrics[self.channel][self.metric])

    def get_after_epoch(self, metrics: Mapping[str, Mapping[str, float]]) -> float | None:
        """Its value on validation data after an epoch, which is used for the test data's too.

        None if it is not finite, and so cannot be compared.
        """
        value = metrics["validation"][self.metric]
        return value if isfinite(value) else None


def _describe_kind(config: Hyperparameters) -> str:
    if config.objective is not None:
        return "the in-batch objective"
    return f"output_layer={config.output_layer}"


REASON = "reason"  # why a trial was pruned
_IDENTITY = "identity"
_CONTINUES = "continues"
_ATTEMPT = "attempt"
ATTEMPTS = 3  # how often a trial is begun whose process is killed while it runs


class Study:
    """Optuna's study of one search.

    The next trial follows from the seed and the trials that are finished alone, so that a search
    that was killed and continued is the one that was not. Trials are numbered from 1 in the order
    in which they finished; those that a kill ended are not among them.
    """

    def __init__(
        self, storage: JournalStorage, space: Space, objective: ObjectiveMetric, *, pruning: bool
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        pruner = optuna.pruners.MedianPruner(n_warmup_steps=1)
        self.space = space
        self.objective = objective
        self._study = optuna.create_study(
            storage=storage,
            pruner=pruner if pruning else optuna.pruners.NopPruner(),
            study_name="o2v",
            direction=objective.direction,
            load_if_exists=True,
        )

    def claim(self, identity: Mapping[str, str], directory: Path) -> None:
        """Marks a new study as that of this search, and checks the mark of an earlier one.

        Args:
            identity: what decides the outcome of a search, by name.
            directory: where the study is.

        Raises:
            InputError: the study is of another search.
        """
        kept = self._study.user_attrs.get(_IDENTITY)
        if kept is None:
            self._study.set_user_attr(_IDENTITY, dict(identity))
            return
        changed = [
            f"{name} was {kept.get(name)}, now {identity.get(name)}"
            for name in kept | dict(identity)
            if kept.get(name) != identity.get(name)
        ]
        if changed:
            raise InputError(
                f"{directory} holds a study of another search ({'; '.join(changed[:3])}): "
                "rerun its command to continue it, or choose another --output"
            )

    @property
    def finished(self) -> list[FrozenTrial]:
        """The trials that are complete or pruned, in their order."""
        states = TrialState.COMPLETE, TrialState.PRUNED
        return self._study.get_trials(deepcopy=False, states=states)

    @property
    def best(self) -> FrozenTrial | None:
        """The best complete trial, the first of equals; None if there is none."""
        complete = [trial for trial in self.finished if trial.state is TrialState.COMPLETE]
        sign = -1 if self.objective.direction == "maximize" else 1
        return min(complete, key=lambda trial: sign * get_value(trial), default=None)

    def begin(self, seed: int) -> Trial:
        """The next trial, its values drawn."""
        entropy = np.random.SeedSequence([seed, len(self.finished)])
        self._study.sampler = TPESampler(seed=int(entropy.generate_state(1)[0]))
        return self._study.ask(self.space.distributions)

    def complete(self, trial: Trial, value: float) -> None:
        """Ends a trial with the objective's value."""
        self._study.tell(trial, value)

    def prune(self, trial: Trial, reason: str) -> None:
        """Ends a trial without one."""
        trial.set_user_attr(REASON, reason)
        self._study.tell(trial, state=TrialState.PRUNED)

    def recover(self, *, killed: bool = True) -> None:
        """Ends the trials that were running when their process was, and puts them first in line.

        Args:
            killed: whether that counts as an attempt; after three of them a trial is given up.
        """
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            attempt = trial.user_attrs.get(_ATTEMPT, 1)
            if attempt >= ATTEMPTS and killed:
                self._give_up(trial, f"the process ended {attempt} times while it ran")
            # without all its values it is drawn again, with the same values
            elif trial.params.keys() == self.space.ranges.keys() and not self._is_queued(trial):
                notes = {_ATTEMPT: attempt + killed, _CONTINUES: trial.number}
                self._study.enqueue_trial(trial.params, user_attrs=notes)
            self._study.tell(trial.number, state=TrialState.FAIL)

    def _is_queued(self, trial: FrozenTrial) -> bool:
        trials = self._study.get_trials(deepcopy=False)
        return any(trial.number == other.user_attrs.get(_CONTINUES) for other in trials)

    def _give_up(self, trial: FrozenTrial, reason: str) -> None:
        """Adds a pruned trial in place of one that Optuna takes for running."""
        pruned = create_trial(
            state=TrialState.PRUNED,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={REASON: reason},
        )
        self._study.add_trial(pruned)


def get_value(trial: FrozenTrial) -> float:
    """The objective's value of a complete trial."""
    if trial.value is None:
        raise ValueError(f"trial {trial.number} is not complete")
    return trial.value


@contextmanager
def open_journal(file: Path) -> Iterator[JournalStorage]:
    """The study's storage, for this process alone until the block ends.

    Every change is appended and brought to the disk before it counts. A last line that a kill cut
    short is taken off; the lock is the kernel's, so none is left behind.

    Raises:
        InputError: another process is at work on it, or it is not such a file.
    """
    with file.open("a+b") as stream:
        if try_lock(stream.fileno()) is False:
            raise InputError(f"{file.parent}: another o2v tune is running there")
        storage = _open_storage(file)
        _drop_torn_line(stream)
        yield storage


def _drop_torn_line(stream: BinaryIO) -> None:
    stream.seek(0)
    written = stream.read()
    whole = written.rfind(b"\n") + 1
    if whole < len(written):
        stream.truncate(whole)
        os.fsync(stream.fileno())


def _open_storage(file: Path) -> JournalStorage:
    try:
        return JournalStorage(JournalFileBackend(str(file), _HeldLock(str(file))))
    except (ValueError, TypeError, KeyError, AssertionError) as error:
        raise InputError(f"{file}: is not a study that o2v tune wrote") from error


class _HeldLock(JournalFileOpenLock):
    """The lock that `open_journal` holds all the time, so that there is none to take for a change.

    Optuna's own is a file, which a kill leaves behind and which the next process waits for.
    """

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass
