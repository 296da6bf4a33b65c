"""Model directories and archives: the only reader and writer of them.

A model is a directory of plain files, written at once or not at all:

- `config.json`: format name and version, hyperparameters, SHA-256 of the parameters, and where
  known the tokenizer and the lengths of the training data;
- `params.safetensors`: float32 arrays under dotted names;
- `vocab.json`: token -> id, if texts can be encoded;
- `metrics.json` and `provenance.json`: figures reached, and how the model came to be.

Nothing in it is pickled, so a model from a stranger can be wrong but cannot run code.
"""

from o2v_jax.checkpoint.archive import pack
from o2v_jax.checkpoint.config_file import check_vocabulary
from o2v_jax.checkpoint.loading import find_model, load
from o2v_jax.checkpoint.model import Histogram, Model, default_model, flatten, nest
from o2v_jax.checkpoint.saving import check_model_target, save
from o2v_jax.checkpoint.unpacking import MAX_ARCHIVE_BYTES, is_archive

__all__ = [
    "MAX_ARCHIVE_BYTES",
    "Histogram",
    "Model",
    "check_model_target",
    "check_vocabulary",
    "default_model",
    "find_model",
    "flatten",
    "is_archive",
    "load",
    "nest",
    "pack",
    "save",
]
