"""The figure that a search makes as large or as small as it can, by its documented name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.training.loop.evaluation import loss_name


@dataclass(frozen=True)
class Objective:
    """A metric of a channel, such as validation:accuracy."""

    channel: str
    metric: str

    @classmethod
    def of(cls, name: str | None, config: Hyperparameters, channels: Sequence[str]) -> "Objective":
        """The objective of that name; without one the validation loss of the output layer.

        Raises:
            InputError: it is no metric of this output layer, or of a channel that is not given.
        """
        metrics = [loss_name(config)] + ["accuracy"] * (config.output_layer == "softmax")
        judged = [channel for channel in channels if channel != "train"]
        valid = [cls(channel, metric) for channel in judged for metric in metrics]
        for objective in valid:
            if str(objective) == (name or f"validation:{metrics[0]}"):
                return objective
        raise InputError(
            f"--objective {name}: must be one of {', '.join(map(str, valid))}, the metrics of "
            f"output_layer={config.output_layer} on the channels given"
        )

    def __str__(self) -> str:
        return f"{self.channel}:{self.metric}"

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """As Optuna names it."""
        return "maximize" if self.metric == "accuracy" else "minimize"

    def better(self, one: float, other: float) -> bool:
        """Whether `one` is strictly better than `other`."""
        return one > other if self.direction == "maximize" else one < other

    def best(self, values: Sequence[float]) -> float:
        """The best of some values."""
        return max(values) if self.direction == "maximize" else min(values)

    def reached(self, metrics: Mapping[str, Any]) -> float:
        """Its value among a finished run's metrics, which are those of the model that is kept."""
        return float(metrics[self.channel][self.metric])

    def after_epoch(self, metrics: Mapping[str, Mapping[str, float]]) -> float | None:
        """Its value on validation data after an epoch, which stands for the test data's too.

        None if it is not finite, and so cannot be compared.
        """
        value = metrics["validation"][self.metric]
        return value if isfinite(value) else None
