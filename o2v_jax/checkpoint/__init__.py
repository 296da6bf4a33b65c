"""Model directories and archives: the only reader and writer of them.

A model is a directory of plain files, written at once or not at all:

- `config.json`: format name and version, hyperparameters, SHA-256 of the parameters, and where
  known how raw values become token ids, the names of the classes, and the lengths of the training
  data;
- `params.safetensors`: float32 arrays under dotted names;
- `vocab.json`: token -> id of both sides, or `vocab0.json` and `vocab1.json`, each of one side;
- `tokenizer.json`, or `tokenizer0.json` and `tokenizer1.json`: the same for texts that are split by
  the `tokenizers` library, in its own format;
- `metrics.json` and `provenance.json`: figures reached, and how the model came to be.

Nothing in it is pickled, so a model from a stranger can be wrong but cannot run code.
"""

from o2v_jax.checkpoint.archive import pack
from o2v_jax.checkpoint.config_file import check_class_names, check_tokenizers
from o2v_jax.checkpoint.digest import hash_model
from o2v_jax.checkpoint.loading import find_model, load
from o2v_jax.checkpoint.model import Histogram, Model, default_model, flatten, nest
from o2v_jax.checkpoint.saving import check_model_target, save
from o2v_jax.checkpoint.tokenizer_files import (
    VOCABULARY_FILES,
    compose_inputs,
    parse_inputs,
    read_tokenizers,
)
from o2v_jax.checkpoint.unpacking import MAX_ARCHIVE_BYTES, is_archive

__all__ = [
    "MAX_ARCHIVE_BYTES",
    "VOCABULARY_FILES",
    "Histogram",
    "Model",
    "check_class_names",
    "check_model_target",
    "check_tokenizers",
    "compose_inputs",
    "default_model",
    "find_model",
    "flatten",
    "hash_model",
    "is_archive",
    "load",
    "nest",
    "pack",
    "parse_inputs",
    "read_tokenizers",
    "save",
]
