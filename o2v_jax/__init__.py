"""Object2Vec in JAX: pairs of token id sequences to scores and embeddings.

This is the table of contents. Names are imported on first use, so that a command that needs no
model does not wait for JAX to load.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from o2v_jax.checkpoint import Model, load, pack, save
    from o2v_jax.data.ragged import Ragged
    from o2v_jax.data.vocabulary import Vocabulary
    from o2v_jax.errors import (
        CheckpointError,
        HyperparameterError,
        InputError,
        O2VError,
        RecordError,
    )
    from o2v_jax.hyperparameters import EncoderConfig, Hyperparameters
    from o2v_jax.memory import keep_freed_memory
    from o2v_jax.model import Object2Vec, compare_fn, encode_fn, init, logits_fn, score_fn
    from o2v_jax.scoring import Ranking, Scorer, use_compilation_cache

__version__ = "0.1.0"

_HOMES = {
    "CheckpointError": "errors",
    "EncoderConfig": "hyperparameters",
    "HyperparameterError": "errors",
    "Hyperparameters": "hyperparameters",
    "InputError": "errors",
    "Model": "checkpoint",
    "O2VError": "errors",
    "Object2Vec": "model",
    "Ragged": "data.ragged",
    "Ranking": "scoring",
    "RecordError": "errors",
    "Scorer": "scoring",
    "Vocabulary": "data.vocabulary",
    "compare_fn": "model",
    "encode_fn": "model",
    "init": "model",
    "keep_freed_memory": "memory",
    "load": "checkpoint",
    "logits_fn": "model",
    "pack": "checkpoint",
    "save": "checkpoint",
    "score_fn": "model",
    "use_compilation_cache": "scoring",
}

__all__ = [
    "CheckpointError",
    "EncoderConfig",
    "HyperparameterError",
    "Hyperparameters",
    "InputError",
    "Model",
    "O2VError",
    "Object2Vec",
    "Ragged",
    "Ranking",
    "RecordError",
    "Scorer",
    "Vocabulary",
    "compare_fn",
    "encode_fn",
    "init",
    "keep_freed_memory",
    "load",
    "logits_fn",
    "pack",
    "save",
    "score_fn",
    "use_compilation_cache",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
