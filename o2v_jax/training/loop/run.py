"""The training run: epochs, validation, early stopping, the best epoch kept, all resumable."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import jax
import numpy as np

from o2v_jax.devices import own_settings
from o2v_jax.errors import InputError, Interrupted
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import RANDOM_NUMBERS, Params
from o2v_jax.signals import Signals
from o2v_jax.training.data.batches import Batch, DataLoader
from o2v_jax.training.data.dataset import Dataset, warn_of_unused_negatives
from o2v_jax.training.data.pretrained import Pretrained
from o2v_jax.training.loop.agreement import Agreement, broadcast
from o2v_jax.training.loop.evaluation import (
    Accumulator,
    compute_means,
    judge_metrics,
    measure,
    measure_ranking,
)
from o2v_jax.training.loop.hosts import AgreedInterruption, Hosts
from o2v_jax.training.loop.progress import ChannelMetrics, Progress, Verdict, judge
from o2v_jax.training.loop.shared_state import SharedCheckpoints
from o2v_jax.training.loop.state import Checkpoints
from o2v_jax.training.optim.encoding_step import make_encoding_step
from o2v_jax.training.optim.loss import Sums
from o2v_jax.training.optim.optimizers import note_learning_rate
from o2v_jax.training.optim.placement import Placement
from o2v_jax.training.optim.step import (
    TrainState,
    init_state,
    make_evaluation_step,
    make_train_step,
)
from o2v_jax.training.report.metric_lines import Reporter

SAVE = 1  # what a host proposes to save; for a signal it is greater by this than its number


@dataclass
class Run:
    """A training run: its data, and what came of it so far.

    After `fit`, `params` holds the best epoch's parameters as NumPy arrays, `history` the metrics
    of every epoch by channel, and `metrics` those of the best epoch and of the test channel.

    `on_epoch` is called after every epoch with its number and metrics. The run ends where it
    returns True, as by early stopping, or raises.
    With `checkpoints` the run is saved at intervals and when one of `signals` arrives, and resumes
    from what was saved.

    `placement` says which devices share the run; by default it is JAX's default device. On several
    `hosts`, each has the same data and settings, and makes the same calls.
    """

    config: Hyperparameters
    train: Dataset
    validation: Dataset | None = None
    test: Dataset | None = None
    seed: int = 0
    reporter: Reporter = field(default_factory=Reporter)
    pretrained: Sequence[Pretrained] = ()
    on_epoch: Callable[[int, ChannelMetrics], object] | None = None
    checkpoints: Checkpoints | SharedCheckpoints | None = None
    signals: Signals = field(default_factory=Signals)
    placement: Placement = field(default_factory=Placement.default)
    hosts: Hosts = field(default_factory=Hosts)
    params: Params = field(default_factory=dict)
    ended: bool = False  # whether by itself or by a signal

    def __post_init__(self) -> None:
        note_learning_rate(self.config)
        if self.config.negative_sampling_rate and len(self.train) == 1:
            raise InputError("negative_sampling_rate needs two training records, but there is one")
        warn_of_unused_negatives(self.config, self.train)
        self._loader = DataLoader.of(self.config, self.train)
        self._step = make_train_step(self.config, self.pretrained, self.placement)
        self._evaluate = make_evaluation_step(self.config, self.placement)
        self._encode = make_encoding_step(self.config, self.placement)
        self._agreement = Agreement(self.placement.devices)
        self._progress, self._accumulator = Progress(), Accumulator()
        self._test_metrics: dict[str, float] = {}
        self._stopped = False  # by `on_epoch`

    @property
    def history(self) -> list[ChannelMetrics]:
        """The metrics of every epoch that is done."""
        return self._progress.history

    @property
    def rates(self) -> list[float]:
        """Examples a second, of every epoch that is done."""
        return self._progress.rates

    @property
    def metrics(self) -> dict[str, Any]:
        """The number and the metrics of the best epoch so far, and those of the test channel."""
        if not self.history:
            return {}
        test = {"test": self._test_metrics} if self._test_metrics else {}
        return {"best_epoch": self.best_epoch, **self.history[self.best_epoch], **test}

    @property
    def best_epoch(self) -> int:
        """The epoch with the lowest loss so far, of at least one."""
        return self._judge_so_far().best

    def fetch_best(self) -> Params:
        """The best epoch's parameters, or before any is done the current ones."""
        return self.params or self._fetch_params()

    def _fetch_params(self) -> Params:
        """The current parameters, on this host; all hosts call it."""
        params: Params = self.placement.fetch(self.config, self._state.params)
        return params

    def fit(self) -> Params:
        """Trains until early stopping or the last epoch; returns the best epoch's parameters.

        Raises:
            InputError: the loss is not finite after the first epoch.
            Interrupted: one of `signals` arrived; the state is saved.
        """
        with own_settings(), self.signals.deferred():
            self._state = init_state(self.config, self.seed, self.pretrained, self.placement)
            self._resume()
            try:
                while not self._is_finished():
                    self._train_epoch()
                self._finish()
            except Interrupted as stop:
                raise self._save_interrupted(stop) from None
            finally:
                self.ended = True
        return self.params

    def evaluate(self, params: Params, data: Dataset) -> dict[str, float]:
        """Metrics of `params` on `data`, by their documented names."""
        # how records compete and how frequent they are is known of the training data alone
        loader = replace(self._loader, in_batch=False, log_frequencies=None, slots=0)
        batches = self._watch(loader.iterate_in_order(data))
        if self.config.objective is None:
            return measure(self.config, self._evaluate, params, batches)
        metrics = measure_ranking(self.config, self._encode, params, batches, data)
        # each host ranks for itself, and rounding may differ where their processors do
        return metrics if self.hosts.alone else broadcast(metrics)

    def _train_epoch(self) -> None:
        """What is left of a pass over the training data, then validation and metric lines."""
        self._train_batches()
        metrics = {"train": compute_means(self.config, self._accumulator)}
        if self.validation is not None:
            metrics["validation"] = self.evaluate(self._state.params, self.validation)
        epoch, examples = self._progress.epoch, self._loader.count_examples(self.train)
        # before the epoch counts as done: Ctrl-C may arrive in between
        params = self._fetch_params() if self._is_best(metrics) else self.params
        self._progress.end_epoch(metrics, examples / max(self._progress.seconds, 1e-9))
        self.params, self._accumulator = params, Accumulator()
        self._report(epoch, metrics)
        self._check_finite()

    def _train_batches(self) -> None:
        """The batches of this epoch that are not done."""
        progress, total = self._progress, self._loader.count_examples(self.train)
        rng = np.random.default_rng([self.seed, progress.epoch])
        began, done = time.perf_counter() - progress.seconds, progress.batch * self._loader.size
        title = f"epoch {progress.epoch} ({progress.epoch + 1} of {self.config.epochs})"
        with self.reporter.open_bar(title, total, done=min(done, total)) as bar:
            for batch in self._watch(self._loader.iterate_epoch(self.train, rng, progress.batch)):
                self._state, sums = self._step(self._state, batch)
                self._accumulator.add(sums)
                progress.batch += 1
                progress.seconds = time.perf_counter() - began
                records = int(batch.weights.sum())
                done += records
                bar.advance(records, sums.mean_loss, done / progress.seconds)
            jax.block_until_ready(self._state)
            progress.seconds = time.perf_counter() - began

    def _watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Batches, with a look before each whether to save and whether to stop."""
        for batch in batches:
            outcome = self._agreement.propose(self._make_proposal())
            if outcome > SAVE:
                kind = Interrupted if self.hosts.alone else AgreedInterruption
                raise kind(outcome - SAVE)
            if outcome == SAVE:
                self.save()
            yield batch

    def _make_proposal(self) -> int:
        """What this host would do before the next batch: stop, save or, at 0, go on."""
        try:
            self.signals.check()
        except Interrupted as stop:
            return SAVE + stop.signal
        return SAVE if self.checkpoints is not None and self.checkpoints.is_due() else 0

    def _report(self, epoch: int, metrics: ChannelMetrics) -> None:
        for channel, values in metrics.items():
            self.reporter.write_metrics(channel, values, epoch)
        self.reporter.write_progress(100 * (epoch + 1) / self.config.epochs)
        self.reporter.write_throughput(self.rates[-1])
        if self.on_epoch is not None:
            self._stopped = self.on_epoch(epoch, metrics) is True

    def _is_finished(self) -> bool:
        """Whether the last epoch is done, or early stopping says that it was the last."""
        if self.history and self._judge_so_far().stop:
            self.reporter.write_line(f"Early stopping after epoch {len(self.history) - 1}.")
            return True
        return self._stopped or self._progress.epoch == self.config.epochs

    def _list_losses(self) -> list[float]:
        """What early stopping has compared so far, one an epoch."""
        return [judge_metrics(self.config, metrics) for metrics in self.history]

    def _is_best(self, metrics: ChannelMetrics) -> bool:
        """Whether an epoch that ends with these metrics is the best so far."""
        losses = [*self._list_losses(), judge_metrics(self.config, metrics)]
        return self._judge(losses).best == len(self.history)

    def _judge_so_far(self) -> Verdict:
        return self._judge(self._list_losses())

    def _judge(self, losses: Sequence[float]) -> Verdict:
        patience = self.config.early_stopping_patience
        return judge(losses, patience, self.config.early_stopping_tolerance)

    def _check_finite(self) -> None:
        """Reports that the run diverged, and gives up where no earlier epoch can be kept."""
        losses = self._list_losses()
        if isfinite(losses[-1]):
            return
        in_train = self.validation is None or self.config.objective is not None
        channel = "train" if in_train else "validation"
        what = f"the {channel} loss is {losses[-1]} after epoch {len(losses) - 1}"
        advice = f"{what}: lower learning_rate={self.config.learning_rate}"
        if len(losses) == 1:
            if self.checkpoints is not None:
                self.checkpoints.discard()  # nothing to go on from
            raise InputError(advice)
        self.reporter.write_line(advice)

    def _finish(self) -> None:
        if self.test is not None:
            params = self.placement.put(self.config, self.params)
            self._test_metrics = self.evaluate(params, self.test)
            self.reporter.write_metrics("test", self._test_metrics)

    def save(self) -> bool:
        """Saves everything that the rest of the run depends on; returns whether that was done."""
        if self.checkpoints is None:
            return False
        notes = {"progress": self._progress.to_json(), "sums": self._accumulator.host}
        arrays = self.placement.fetch_to_save(self.config, self._collect_arrays())
        return self.checkpoints.save(arrays, notes)

    def _collect_arrays(self) -> dict[str, Any]:
        """The arrays to save. Until an epoch is done, any parameters stand for the best ones."""
        return {
            "state": self._state._replace(key=jax.random.key_data(self._state.key)),
            "sums": self._accumulator.pending,
            "best": self.params or self._state.params,
        }

    def _resume(self) -> None:
        """Goes back to what was saved, if anything was."""
        if self.checkpoints is None:
            return
        like = self.placement.describe_saved(self.config, self._collect_arrays())
        saved = self.checkpoints.restore_latest(like)
        if saved is None:
            return
        state, progress = TrainState(*saved.arrays["state"]), Progress(**saved.notes["progress"])
        state = self.placement.put(self.config, state)
        key = jax.random.wrap_key_data(state.key, impl=RANDOM_NUMBERS)
        self._state = state._replace(key=key)
        self._progress, sums = progress, jax.device_get(saved.arrays["sums"])
        self._accumulator = Accumulator(progress.batch, tuple(saved.notes["sums"]), Sums(*sums))
        self.params = jax.device_get(saved.arrays["best"]) if progress.history else {}
        self.reporter.write_line(
            f"Continuing epoch {progress.epoch} after {progress.batch} batches."
        )

    def _save_interrupted(self, stop: Interrupted) -> Interrupted:
        """The state saved, and an interruption that says where."""
        if self.checkpoints is None or not self.save():
            return stop
        return type(stop)(stop.signal, self.checkpoints.directory)
