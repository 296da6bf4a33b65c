"""The network: flax.nnx modules, and pure functions over a plain dict of their parameters."""

from o2v_jax.model.functional import (
    RANDOM_NUMBERS,
    compare_fn,
    encode_fn,
    fitting,
    head_fn,
    init,
    init_from_key,
    logits_fn,
    multiplications,
    parameter_shapes,
    random_key,
    score_fn,
    tower_fn,
    unchecked_logits_fn,
)
from o2v_jax.model.layers import BATCH_AXIS, encoders_in
from o2v_jax.model.object2vec import NETWORK_NAMES, Object2Vec, table_name
from o2v_jax.model.parameters import Params, plain

__all__ = [
    "BATCH_AXIS",
    "NETWORK_NAMES",
    "RANDOM_NUMBERS",
    "Object2Vec",
    "Params",
    "compare_fn",
    "encode_fn",
    "encoders_in",
    "fitting",
    "head_fn",
    "init",
    "init_from_key",
    "logits_fn",
    "multiplications",
    "parameter_shapes",
    "plain",
    "random_key",
    "score_fn",
    "table_name",
    "tower_fn",
    "unchecked_logits_fn",
]
