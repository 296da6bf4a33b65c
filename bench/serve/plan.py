"""What is measured, for how long."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench import traffic
from o2v_jax import Hyperparameters

PARTS = ("single", "text", "large", "overload", "soak", "compilations")
CONNECTIONS = 32


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        model: directory.
        device: cpu or gpu.
        peer: whether LitServe is measured beside.
        quick: fewer steps.
        seconds: of one measurement.
        rounds: of turns.
        soak_s: seconds of the soak.
        requests: mixed ones, while compilations are counted.
        items: of the index that is searched.
    """

    model: Path
    device: str
    peer: bool
    quick: bool
    seconds: float
    rounds: int
    soak_s: float
    requests: int
    items: int = 100_000

    @property
    def warm_s(self) -> float:
        """Seconds before a measurement that do not count."""
        return min(2.0, self.seconds / 4)

    @cached_property
    def config(self) -> Hyperparameters:
        """The model's hyperparameters."""
        return traffic.read_config(self.model)

    def make_bodies(self, pairs: int = 1) -> list[bytes]:
        """Different requests of so many pairs."""
        return traffic.make_bodies(self.config, max(20, 1000 // pairs), pairs)
