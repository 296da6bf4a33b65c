"""The best trial's model on the disk."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from o2v_jax import __version__
from o2v_jax.checkpoint import Model, save
from o2v_jax.data.vocabulary import Vocabulary
from o2v_jax.training import Run


@dataclass(frozen=True)
class Winner:
    """Writes models into `directory`, each in the place of the one before.

    Attributes:
        directory: the model directory.
        vocabulary: kept with the model.
        provenance: what is known of every trial's model: the command, the seed, the files.
    """

    directory: Path
    vocabulary: Vocabulary | None
    provenance: Mapping[str, Any]

    def replace(self, run: Run, tuning: Mapping[str, Any]) -> None:
        """Writes a run's best epoch; `tuning` says in the provenance how it was found."""
        model = Model(
            run.config,
            run.best(),
            self.vocabulary,
            metrics=run.metrics,
            provenance={**_made(run), **self.provenance, "tuning": dict(tuning)},
            length_histogram=run.train.histograms(),
        )
        save(model, self.directory)


def _made(run: Run) -> dict[str, Any]:
    return {
        "o2v_jax": __version__,
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "records": len(run.train),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
