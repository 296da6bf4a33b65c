"""A model's digest, by which results and indexes say which model they are of."""

import hashlib
import json
from typing import Any

from o2v_jax.checkpoint.model import Model, flatten
from o2v_jax.checkpoint.tokenizer_files import compose_inputs
from o2v_jax.constants import DType
from o2v_jax.hyperparameters import objective_to_json


def hash_model(model: Model, dtype: DType = "float32") -> str:
    """A digest that is equal for models with equal results, with encoders in `dtype`."""
    digest = hashlib.sha256(repr(sorted(model.config.to_strings().items())).encode())
    if model.config.objective is not None:
        objective = objective_to_json(model.config.objective)
        digest.update(json.dumps(objective, sort_keys=True).encode())
    digest.update(dtype.encode())
    for name, array in sorted(flatten(model.params).items()):
        digest.update(name.encode())
        digest.update(_view_bytes(array))
    if model.tokenizers is not None:
        described, files = compose_inputs(model.tokenizers)
        digest.update(json.dumps([described, *files], sort_keys=True).encode())
        for content in files.values():
            digest.update(content)
    return digest.hexdigest()


def _view_bytes(array: Any) -> memoryview:
    return memoryview(array).cast("B") if array.size else memoryview(b"")
