"""Which files a job reads, by content."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.training.auxiliary import auxiliary_file
from o2v_jax.util import hash_file

AUXILIARY_FILES = tuple(
    f"enc{side}_{name}" for side in (0, 1) for name in ("pretrained_embedding_file", "vocab_file")
)
Described: TypeAlias = dict[str, list[dict[str, str]]]


def described(files: Mapping[str, Sequence[Path]]) -> Described:
    """For each name, its files by name and SHA-256."""
    return {
        name: [{"name": path.name, "sha256": _sha256(path)} for path in paths]
        for name, paths in files.items()
    }


def auxiliary_files(config: Hyperparameters, directory: Path | None) -> list[Path]:
    """The files that hyperparameters name, each once."""
    found = (auxiliary_file(config, name, directory) for name in AUXILIARY_FILES)
    return sorted({path for path in found if path is not None})


def identity(config: Hyperparameters, files: Described, **others: object) -> dict[str, str]:
    """What decides a run's outcome, by name: its hyperparameters, its data, and `others`."""
    digests = {name: _digest([part["sha256"] for part in parts]) for name, parts in files.items()}
    named = {name.replace("_", " "): str(value) for name, value in others.items()}
    return {**config.to_strings(), **{f"{n} data": value for n, value in digests.items()}, **named}


def _sha256(path: Path) -> str:
    if not path.is_file():  # a pipe, which nobody can read again: no two are the same
        return uuid4().hex
    return hash_file(path)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]
