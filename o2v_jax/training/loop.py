"""The training run: epochs, validation, early stopping, the best epoch kept."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import jax
import numpy as np

from o2v_jax.errors import HyperparameterError, InputError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import Params
from o2v_jax.training.batches import Batcher
from o2v_jax.training.data import Dataset
from o2v_jax.training.early_stopping import Verdict, judge
from o2v_jax.training.evaluation import loss_name, means, measure
from o2v_jax.training.reporting import Reporter
from o2v_jax.training.step import State, Sums, evaluation_step, start, train_step


@dataclass
class Run:
    """A training run: its data, and what came of it so far.

    After `fit`, `params` holds the best epoch's parameters as NumPy arrays, `history` the metrics
    of every epoch by channel, and `metrics` those of the best epoch and of the test channel.
    """

    config: Hyperparameters
    train: Dataset
    validation: Dataset | None = None
    test: Dataset | None = None
    seed: int = 0
    reporter: Reporter = field(default_factory=Reporter)
    history: list[dict[str, dict[str, float]]] = field(default_factory=list)
    params: Params = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_unsupported(self.config)
        self._batcher = Batcher.of(self.config, self.train)
        self._step = train_step(self.config)
        self._evaluate = evaluation_step(self.config)

    def fit(self) -> Params:
        """Trains until early stopping or the last epoch; returns the best epoch's parameters.

        Raises:
            InputError: the loss is not finite after the first epoch.
        """
        state = start(self.config, self.seed)
        for epoch in range(self.config.epochs):
            state = self._epoch(state, epoch)
            verdict = self._judge()
            if verdict.best == epoch:
                self.params = jax.device_get(state.params)
            if verdict.stop:
                self.reporter.line(f"Early stopping after epoch {epoch}.")
                break
        self._finish(verdict)
        return self.params

    def evaluate(self, params: Params, data: Dataset) -> dict[str, float]:
        """Metrics of `params` on `data`, by their documented names."""
        return measure(self.config, self._evaluate, params, self._batcher.in_order(data))

    def _epoch(self, state: State, epoch: int) -> State:
        """One pass over the training data, then validation; metric lines for both."""
        began = time.perf_counter()
        state, sums = self._pass(state, epoch)
        metrics = {"train": means(self.config, sums)}
        rate = len(self.train) / (time.perf_counter() - began)
        if self.validation is not None:
            metrics["validation"] = self.evaluate(state.params, self.validation)
        self.history.append(metrics)
        for channel, values in metrics.items():
            self.reporter.metrics(channel, values, epoch)
        self.reporter.progress(100 * (epoch + 1) / self.config.epochs)
        self.reporter.throughput(rate)
        return state

    def _pass(self, state: State, epoch: int) -> tuple[State, Sums]:
        rng = np.random.default_rng([self.seed, epoch])
        totals, records, began = None, 0, time.perf_counter()
        with self.reporter.bar(f"epoch {epoch}", len(self.train)) as bar:
            for batch in self._batcher.epoch(self.train, rng):
                state, sums = self._step(state, batch)
                totals = sums if totals is None else totals + sums
                records += (step_records := int(batch.weights.sum()))
                rate = records / (time.perf_counter() - began)
                bar.advance(step_records, sums.mean_loss, rate)
        assert totals is not None  # noqa: S101 - a data set is never empty
        return state, totals

    def _judge(self) -> Verdict:
        """Early stopping's verdict on the validation losses, or on the training ones without."""
        channel = "train" if self.validation is None else "validation"
        losses = [epoch[channel][loss_name(self.config)] for epoch in self.history]
        if not isfinite(losses[-1]):
            self._diverged(f"the {channel} loss is {losses[-1]} after epoch {len(losses) - 1}")
        patience = self.config.early_stopping_patience
        return judge(losses, patience, self.config.early_stopping_tolerance)

    def _diverged(self, what: str) -> None:
        """Says so, and gives up where no earlier epoch can be kept."""
        advice = f"{what}: lower learning_rate={self.config.learning_rate}"
        if len(self.history) == 1:
            raise InputError(advice)
        self.reporter.line(advice)

    def _finish(self, verdict: Verdict) -> None:
        self.metrics = {"best_epoch": verdict.best, **self.history[verdict.best]}
        if self.test is not None:
            self.metrics["test"] = self.evaluate(jax.device_put(self.params), self.test)
            self.reporter.metrics("test", self.metrics["test"])


AUXILIARY_FILES = (
    "enc0_pretrained_embedding_file",
    "enc1_pretrained_embedding_file",
    "enc0_vocab_file",
    "enc1_vocab_file",
)


def refuse_unsupported(config: Hyperparameters) -> None:
    """Refuses, rather than ignores, what this version cannot train yet."""
    storage = config.token_embedding_storage_type
    unsupported: Mapping[str, bool] = {
        f"token_embedding_storage_type={storage}": storage == "row_sparse",
        "negative_sampling_rate above 0": config.negative_sampling_rate > 0,
        **{name: bool(getattr(config, name)) for name in AUXILIARY_FILES},
    }
    problems = [
        f"{name} cannot be trained by this version" for name, used in unsupported.items() if used
    ]
    if problems:
        raise HyperparameterError(problems)
