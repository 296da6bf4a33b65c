"""Metrics of a model on labelled data, by their documented names."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import get_args

import jax
import numpy as np

from o2v_jax.arguments import require_choice
from o2v_jax.checkpoint import Model
from o2v_jax.constants import DType
from o2v_jax.data.deduplicate import find_unique_rows
from o2v_jax.data.labels import require_labelled_outputs
from o2v_jax.devices import own_settings, require_devices
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import Params, cast_encoders, require_fitting_params
from o2v_jax.scoring.query_scores import score_by_similarity
from o2v_jax.scoring.relevance import Relevance, compute_ranking_metrics, rank_relevant
from o2v_jax.training.data.batches import Batch, DataLoader, order_by_length
from o2v_jax.training.data.dataset import Dataset
from o2v_jax.training.optim.loss import Sums
from o2v_jax.training.optim.step import make_evaluation_step

RANKING_METRICS = ("mrr", "hits_at_1", "hits_at_10", "mean_rank")  # of validation and test
FLUSH = 256  # batches whose sums stay on the device


@dataclass
class Accumulator:
    """Adds up the sums of batches.

    Those of a few batches stay on the device, in float32, and are then added in float64 here, for
    float32 could not count far. When that happens depends on the batch's number alone, so that a
    run that was interrupted adds up the same.
    """

    batches: int = 0
    host: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pending: Sums = field(default_factory=Sums.zero)

    def add(self, sums: Sums) -> None:
        """Adds those of one more batch."""
        self.pending = self.pending + sums
        self.batches += 1
        if self.batches % FLUSH == 0:
            self.host, self.pending = self.total(), Sums.zero()

    def total(self) -> tuple[float, float, float]:
        """Loss, correct records and weight, summed over all batches; waits for the device."""
        loss, correct, weight = (
            host + float(part) for host, part in zip(self.host, self.pending, strict=True)
        )
        return loss, correct, weight


EVALUATION_TOKENS = 8192  # padded tokens of a batch, about


def measure_model(model: Model, data: Dataset, *, dtype: DType = "float32") -> dict[str, float]:
    """cross_entropy and accuracy of a model on `data`, or mean_squared_error for regression.

    They are computed as a run computes those of its channels, and repeat them. For more than these,
    and for intervals, `o2v_jax.evaluate` compares a Scorer's scores with the labels.

    Raises:
        InputError: `dtype` is not one of `DType`, or the parameters are not those of the model's
            configuration, the model has an in-batch objective, or JAX finds no device.
    """
    require_choice("dtype", dtype, get_args(DType), f"one of {', '.join(get_args(DType))}")
    require_labelled_outputs(model.config)
    params = require_fitting_params(model.config, model.params, float32=True)
    require_devices()
    longest = max(int(data.lengths(side).max(initial=1)) for side in (0, 1))
    size = max(1, EVALUATION_TOKENS // longest)
    config = replace(model.config, negative_sampling_rate=0)
    batches = replace(DataLoader.of(config, data), size=size).iterate_in_order(data)
    step, params = make_evaluation_step(model.config), cast_encoders(params, dtype)
    with own_settings():
        return measure(model.config, step, jax.device_put(params), batches)


def measure(
    config: Hyperparameters,
    step: Callable[[Params, Batch], Sums],
    params: Params,
    batches: Iterable[Batch],
) -> dict[str, float]:
    """Metrics over batches; `step` is a `make_evaluation_step(config)`, compiled only once."""
    accumulator = Accumulator()
    for batch in batches:
        accumulator.add(step(params, batch))
    return compute_means(config, accumulator)


def compute_means(config: Hyperparameters, accumulator: Accumulator) -> dict[str, float]:
    """Metrics of summed records: the loss, and for classification the accuracy."""
    loss, correct, weight = accumulator.total()
    metrics = {loss_name(config): loss / weight}
    if loss_name(config) == "cross_entropy":
        metrics["accuracy"] = correct / weight
    return metrics


def loss_name(config: Hyperparameters) -> str:
    """The documented name of what training minimises."""
    is_entropy = config.is_classification or config.objective is not None
    return "cross_entropy" if is_entropy else "mean_squared_error"


def list_metrics(config: Hyperparameters) -> list[str]:
    """Names of the metrics of the validation and test channels; the first decides which is best."""
    if config.objective is not None:
        return [*RANKING_METRICS]
    return [loss_name(config)] + ["accuracy"] * config.is_classification


def judge_metrics(config: Hyperparameters, metrics: Mapping[str, Mapping[str, float]]) -> float:
    """What early stopping compares after an epoch, lower is better.

    The loss of the validation channel, or of the train channel if there is no other; of the
    in-batch objective 1 - MRR of the validation channel, because its loss depends on what else is
    in a batch.
    """
    loss = metrics["train"][loss_name(config)]
    if "validation" not in metrics:
        return loss
    if config.objective is None:
        return metrics["validation"][loss_name(config)]
    return 1 - metrics["validation"]["mrr"] if isfinite(loss) else loss


def measure_ranking(
    config: Hyperparameters,
    encode: Callable[[Params, Batch], tuple[jax.Array, jax.Array]],
    params: Params,
    batches: Iterable[Batch],
    data: Dataset,
) -> dict[str, float]:
    """How well each distinct in0 of `data` finds its in1 among all distinct ones.

    Args:
        config: has an in-batch objective.
        encode: a `make_encoding_step(config)`.
        params: of the network.
        batches: of the records by length, as `DataLoader.iterate_in_order` gives them.
        data: the records.
    """
    assert config.objective is not None  # noqa: S101 - the callers have asked
    rows = np.arange(len(data))
    distinct = [find_unique_rows(data.rows(side, rows)) for side in (0, 1)]
    encodings = [np.empty((len(data), config.enc_dim), np.float32) for _ in distinct]
    order = order_by_length(data)
    start = 0
    for batch in batches:
        part = order[start : start + int(batch.weights.sum())]
        for into, found in zip(encodings, encode(params, batch), strict=True):
            into[part] = np.asarray(found)[: len(part)]
        start += len(part)
    (first0, kind0), (first1, kind1) = distinct
    relevance = Relevance.of(kind0, kind1, len(first0), len(first1))
    queries, candidates = encodings[0][first0], encodings[1][first1]
    score = score_by_similarity(config.objective.similarity, queries, candidates)
    found_metrics = compute_ranking_metrics(rank_relevant(score, relevance), relevance)
    return {name: found_metrics[name] for name in RANKING_METRICS}
