"""The network: flax.nnx modules, and pure functions over a plain dict of their parameters."""

from o2v_jax.model.functional import (
    Params,
    compare_fn,
    encode_fn,
    head_fn,
    init,
    logits_fn,
    multiplications,
    parameter_shapes,
    score_fn,
    tower_fn,
)
from o2v_jax.model.object2vec import NETWORK_NAMES, Object2Vec, table_name
from o2v_jax.model.precision import encoders_in

__all__ = [
    "NETWORK_NAMES",
    "Object2Vec",
    "Params",
    "compare_fn",
    "encode_fn",
    "encoders_in",
    "head_fn",
    "init",
    "logits_fn",
    "multiplications",
    "parameter_shapes",
    "score_fn",
    "table_name",
    "tower_fn",
]
