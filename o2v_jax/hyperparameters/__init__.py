"""Hyperparameters: the table of the Object2Vec documentation as one typed, frozen configuration.

`table` is the documentation's table, line by line; `fields` says how a line is declared and
`rules` which kinds of values there are; `mapping` reads a map; `draft` checks each value and
`cross`, with `networks` and `copying`, the values against each other.
"""

from o2v_jax.hyperparameters.encoder import EncoderConfig, Network
from o2v_jax.hyperparameters.table import (
    Comparator,
    EncoderNetwork,
    Hyperparameters,
    MlpActivation,
    Optimizer,
    OutputLayer,
    StorageType,
    TableRow,
    hyperparameter_table,
)

__all__ = [
    "Comparator",
    "EncoderConfig",
    "EncoderNetwork",
    "Hyperparameters",
    "MlpActivation",
    "Network",
    "Optimizer",
    "OutputLayer",
    "StorageType",
    "TableRow",
    "hyperparameter_table",
]
