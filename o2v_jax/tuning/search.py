"""The search: one trial after another, the best trial's model on the disk at any time."""

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import jax
from optuna.trial import Trial

from o2v_jax.errors import O2VError
from o2v_jax.signals import Signals
from o2v_jax.training import Dataset, Run
from o2v_jax.training.data.pretrained import Pretrained
from o2v_jax.training.report.metric_lines import Reporter
from o2v_jax.tuning.study import Study, get_value
from o2v_jax.util import silence_logger


class BehindError(O2VError):
    """A trial is not worth continuing."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """Trials of one study on data that they share.

    Attributes:
        study: where trials come from and are kept.
        data: the data of each channel.
        pretrained: vectors that every trial begins with.
        seed: of the sampler, and of every trial's training.
        signals: say when to stop.
        keep: is called with the run of a trial that is the best so far, before it is recorded.
        tell: is called after every trial.
    """

    study: Study
    data: Mapping[str, Dataset]
    pretrained: Sequence[Pretrained]
    seed: int
    signals: Signals
    keep: Callable[[Run, float], None]
    tell: Callable[[], None]

    def run(self, trials: int, timeout: float | None) -> None:
        """Runs trials until `trials` are finished in all or `timeout` seconds have passed.

        Raises:
            Interrupted: one of `signals` arrived; the trial that it ended is first in line.
        """
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while len(self.study.finished) < trials and time.monotonic() < deadline:
            self.signals.check()
            self._try_next()
            # JAX keeps the programs of every trial, and no other trial has a use for them
            jax.clear_caches()

    def _try_next(self) -> None:
        trial = self.study.begin(self.seed)
        result = self._train(trial)
        with self.signals.deferred():
            self._end(trial, result)
        self.tell()

    def _train(self, trial: Trial) -> Run | str:
        """A finished run, or the reason why there is none."""
        try:
            run = self._make_run(trial)
            with silence_logger("o2v_jax"):  # or every trial would log the same
                run.fit()
        except (O2VError, MemoryError, jax.errors.JaxRuntimeError) as error:
            return _explain_end(error)
        return run

    def _make_run(self, trial: Trial) -> Run:
        space = self.study.space
        with silence_logger("o2v_jax"):
            return Run(
                space.make_candidate(space.convert(trial.params)),
                self.data["train"],
                self.data["validation"],
                self.data.get("test"),
                seed=self.seed,
                reporter=Reporter(stream=io.StringIO()),
                pretrained=self.pretrained,
                on_epoch=lambda epoch, metrics: self._report_epoch(trial, epoch, metrics),
                signals=self.signals,
            )

    def _report_epoch(
        self, trial: Trial, epoch: int, metrics: Mapping[str, Mapping[str, float]]
    ) -> None:
        value = self.study.objective.get_after_epoch(metrics)
        if value is None:
            return
        trial.report(value, epoch)
        if trial.should_prune():
            raise BehindError(f"behind the median after epoch {epoch}")

    def _end(self, trial: Trial, result: Run | str) -> None:
        """Ends a trial with its value or its reason; the best one's model is written first."""
        if isinstance(result, str):
            self.study.prune(trial, result)
            return
        value = self.study.objective.get_reached(result.metrics)
        best = self.study.best
        if not isfinite(value):
            self.study.prune(trial, f"{self.study.objective} is {value}")
            return
        if best is None or self.study.objective.is_better(value, get_value(best)):
            self.keep(result, value)
        self.study.complete(trial, value)


def _explain_end(error: Exception) -> str:
    """One line for what ended a trial.

    Raises:
        JaxRuntimeError: it says more than that the device has too little memory.
    """
    if isinstance(error, O2VError):
        return "; ".join(str(error).splitlines())
    if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
        raise error
    return "out of memory"
