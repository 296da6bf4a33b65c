"""Hyperparameters: the table of the Object2Vec documentation as one typed, frozen configuration.

`table` is the documentation's table, line by line; `values` says how a line is declared and which
kinds of values there are; `draft` reads a map and checks each value, and `constraints` checks the
values against each other. `objective` is what is not in that table.
"""

from o2v_jax.hyperparameters.encoder import EncoderConfig, Network
from o2v_jax.hyperparameters.objective import (
    InBatchObjective,
    Similarity,
    objective_from_json,
    objective_to_json,
    warn_of_unused,
)
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
    "InBatchObjective",
    "MlpActivation",
    "Network",
    "Optimizer",
    "OutputLayer",
    "Similarity",
    "StorageType",
    "TableRow",
    "hyperparameter_table",
    "objective_from_json",
    "objective_to_json",
    "warn_of_unused",
]
