"""The network: flax.nnx modules, and pure functions over a plain dict of their parameters."""

from o2v_jax.data.nested import Params
from o2v_jax.model.functional import (
    compare_fn,
    encode_fn,
    encoder_fn,
    head_fn,
    logits_fn,
    score_fn,
    unchecked_encode_pairs_fn,
    unchecked_logits_fn,
)
from o2v_jax.model.initialize import (
    RANDOM_NUMBERS,
    count_multiplications,
    init,
    init_from_key,
    parameter_shapes,
    random_key,
    require_fitting_params,
)
from o2v_jax.model.layers import BATCH_AXIS, cast_encoders
from o2v_jax.model.object2vec import NETWORK_NAMES, Object2Vec, table_name
from o2v_jax.model.parameters import to_plain

__all__ = [
    "BATCH_AXIS",
    "NETWORK_NAMES",
    "RANDOM_NUMBERS",
    "Object2Vec",
    "Params",
    "cast_encoders",
    "compare_fn",
    "count_multiplications",
    "encode_fn",
    "encoder_fn",
    "head_fn",
    "init",
    "init_from_key",
    "logits_fn",
    "parameter_shapes",
    "random_key",
    "require_fitting_params",
    "score_fn",
    "table_name",
    "to_plain",
    "unchecked_encode_pairs_fn",
    "unchecked_logits_fn",
]
