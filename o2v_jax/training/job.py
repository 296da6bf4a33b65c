"""A training job: files in, a model directory out."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from o2v_jax import __version__
from o2v_jax.checkpoint import Model, check_target, save
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.training.data import Dataset, read_dataset
from o2v_jax.training.loop import Run, refuse_unsupported
from o2v_jax.training.reporting import HOST, Reporter
from o2v_jax.vocabulary import Vocabulary

CHANNELS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a training command was asked for: files of each channel, where the model goes."""

    config: Hyperparameters
    train: tuple[Path, ...]
    output: Path
    validation: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()
    vocabulary: Path | None = None
    seed: int = 0
    command: str = ""
    host: str = HOST

    def run(self) -> Model:
        """Trains and writes the model; what is wrong with the inputs is said before training.

        Raises:
            O2VError: a file, a record or a hyperparameter is not usable.
        """
        refuse_unsupported(self.config)
        check_target(self.output)
        vocabulary = Vocabulary.read(self.vocabulary) if self.vocabulary else None
        data = {name: read_dataset(files, self.config) for name, files in self._files().items()}
        channels = data["train"], data.get("validation"), data.get("test")
        run = Run(self.config, *channels, seed=self.seed, reporter=Reporter(self.host))
        model = self._model(run.fit(), run, vocabulary)
        save(model, self.output)
        return model

    def _files(self) -> dict[str, tuple[Path, ...]]:
        return {name: getattr(self, name) for name in CHANNELS if getattr(self, name)}

    def _model(self, params: Any, run: Run, vocabulary: Vocabulary | None) -> Model:
        return Model(
            self.config,
            params,
            vocabulary,
            metrics=run.metrics,
            provenance=self._provenance(run.train),
            length_histogram=run.train.histograms(),
        )

    def _provenance(self, data: Dataset) -> dict[str, Any]:
        return {
            "o2v_jax": __version__,
            "jax": jax.__version__,
            "device": jax.devices()[0].device_kind,
            "command": self.command,
            "seed": self.seed,
            "records": len(data),
            "files": {name: [*map(_described, files)] for name, files in self._files().items()},
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }


def _described(path: Path) -> dict[str, str]:
    with path.open("rb") as stream:
        return {"name": path.name, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
