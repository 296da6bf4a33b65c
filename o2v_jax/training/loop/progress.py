"""How far a run is, and what it has to remember besides its parameters."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, TypeAlias

ChannelMetrics: TypeAlias = dict[str, dict[str, float]]  # by channel, then by name


@dataclass
class Progress:
    """The position in a run, and the metrics of the epochs that are done."""

    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    seconds: float = 0.0  # spent on them
    history: list[ChannelMetrics] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)  # examples a second, of each epoch

    def end_epoch(self, metrics: ChannelMetrics, rate: float) -> None:
        """Closes an epoch."""
        self.history.append(metrics)
        self.rates.append(rate)
        self.epoch, self.batch, self.seconds = self.epoch + 1, 0, 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `Progress(**...)` reads."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """After an epoch: `bad` epochs in a row, the `best` epoch so far, and whether to `stop`."""

    bad: int
    best: int
    stop: bool


def judge(losses: Sequence[float], patience: int, tolerance: float) -> Verdict:
    """Judges a run by its losses so far, one an epoch.

    An epoch is good if its loss is lower than the least of the `patience` epochs before it by more
    than `tolerance` (absolute). A bad epoch adds one to a count that a good one resets; the run
    stops when the count exceeds `patience`. The best epoch is the one with the lowest loss. A loss
    that is not finite stops the run too: nothing can be learnt from there on.

    >>> published = [0.2085, 0.1976, 0.2025, 0.1813, 0.1969, 0.1930, 0.1977]
    >>> judge(published, patience=2, tolerance=0.01)
    Verdict(bad=3, best=3, stop=True)
    """
    bad = 0
    for epoch in range(1, len(losses)):
        least = min(losses[max(0, epoch - patience) : epoch])
        bad = 0 if losses[epoch] < least - tolerance else bad + 1
    best = min(range(len(losses)), key=lambda epoch: (not isfinite(losses[epoch]), losses[epoch]))
    return Verdict(bad, best, stop=bad > patience or not isfinite(losses[-1]))
