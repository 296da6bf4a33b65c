"""Metrics of a run's data, added up batch by batch, by their documented names."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import Params
from o2v_jax.training.data.batches import Batch
from o2v_jax.training.optim.loss import Sums

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


def measure(
    config: Hyperparameters,
    step: Callable[[Params, Batch], Sums],
    params: Params,
    batches: Iterable[Batch],
) -> dict[str, float]:
    """Metrics over batches; `step` is `evaluation_step(config)`, compiled once by the caller."""
    accumulator = Accumulator()
    for batch in batches:
        accumulator.add(step(params, batch))
    return means(config, accumulator)


def means(config: Hyperparameters, accumulator: Accumulator) -> dict[str, float]:
    """Metrics of summed records: the loss, and for classification the accuracy."""
    loss, correct, weight = accumulator.total()
    metrics = {loss_name(config): loss / weight}
    if config.output_layer == "softmax":
        metrics["accuracy"] = correct / weight
    return metrics


def loss_name(config: Hyperparameters) -> str:
    """The documented name of the loss of a configuration's output layer."""
    return "cross_entropy" if config.output_layer == "softmax" else "mean_squared_error"
