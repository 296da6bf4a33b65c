"""Sums over any number of batches, without waiting for the device at each."""

from dataclasses import dataclass, field

from o2v_jax.training.optim.step import Sums

FLUSH = 256  # batches whose sums stay on the device


@dataclass
class Tally:
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
