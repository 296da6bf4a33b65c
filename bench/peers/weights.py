"""A model directory for PyTorch: configuration and arrays, read without JAX."""

import json
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from o2v_jax.hyperparameters import Hyperparameters


def read(model: Path) -> tuple[Hyperparameters, dict[str, Any]]:
    """The configuration, and the parameters nested as their dotted names say."""
    settings = json.loads((model / "config.json").read_text())["hyperparameters"]
    params: dict[str, Any] = {}
    for name, array in load_file(model / "params.safetensors").items():
        *path, last = name.split(".")
        branch = params
        for key in path:
            branch = branch.setdefault(key, {})
        branch[last] = array
    return Hyperparameters.from_strings(settings), params
