"""How far a run is, and what it has to remember besides its parameters."""

from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

Metrics: TypeAlias = dict[str, dict[str, float]]  # by channel, then by name


@dataclass
class Progress:
    """The position in a run, and the metrics of the epochs that are done."""

    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    seconds: float = 0.0  # spent on them
    history: list[Metrics] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)  # examples a second, of each epoch

    def next_epoch(self, metrics: Metrics, rate: float) -> None:
        """Closes an epoch."""
        self.history.append(metrics)
        self.rates.append(rate)
        self.epoch, self.batch, self.seconds = self.epoch + 1, 0, 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `Progress(**...)` reads."""
        return asdict(self)
