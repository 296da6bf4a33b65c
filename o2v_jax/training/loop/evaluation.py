"""Metrics of a model on labelled data, by their documented names."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import get_args

import jax

from o2v_jax.arguments import require_choice
from o2v_jax.checkpoint import Model
from o2v_jax.constants import DType
from o2v_jax.devices import own_settings, require_devices
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import Params, cast_encoders, require_fitting_params
from o2v_jax.training.data.batches import Batch, DataLoader
from o2v_jax.training.data.dataset import Dataset
from o2v_jax.training.optim.loss import Sums
from o2v_jax.training.optim.step import make_evaluation_step

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
            configuration, or JAX finds no device.
    """
    require_choice("dtype", dtype, get_args(DType), f"one of {', '.join(get_args(DType))}")
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
    if config.output_layer == "softmax":
        metrics["accuracy"] = correct / weight
    return metrics


def loss_name(config: Hyperparameters) -> str:
    """The documented name of the loss of a configuration's output layer."""
    return "cross_entropy" if config.output_layer == "softmax" else "mean_squared_error"
