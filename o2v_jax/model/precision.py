"""Encoders in half the bytes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from o2v_jax.limits import DType
from o2v_jax.model.parameters import Params


def encoders_in(params: Params, dtype: DType) -> Params:
    """The parameters with those of the encoders as `dtype` holds them; the head's remain float32.

    The encoders multiply in the dtype of their parameters, and add up and return float32.
    """
    held = jnp.dtype("bfloat16" if dtype == "bfloat16" else "float32")
    return {
        name: part if name == "head" else jax.tree.map(lambda leaf: _in(leaf, held), part)
        for name, part in params.items()
    }


def _in(leaf: Array | np.ndarray, dtype: np.dtype[Any]) -> Array | np.ndarray:
    """Itself where it can be: a table may fill most of the memory."""
    return leaf if leaf.dtype == dtype else leaf.astype(dtype)
