"""The two layers that hold weights outside the encoders: token embedding and fully connected."""

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int

from o2v_jax.constants import DType
from o2v_jax.data.nested import Params

PADDING_ID = 0
BATCH_AXIS = "o2v_batch"  # of a mesh whose devices share the rows of a batch, as training does


class TokenEmbedding(nnx.Module):
    """A table of token vectors, float32 `[vocab_size, dim]`; the vector of id 0 is never read."""

    def __init__(self, vocab_size: int, dim: int, *, rngs: nnx.Rngs) -> None:
        initial = nnx.initializers.normal(stddev=0.1)
        self.weight = nnx.Param(initial(rngs.params(), (vocab_size, dim), jnp.float32))


class FullyConnected(nnx.Module):
    """`x @ weight + bias`, with `weight` float32 `[inputs, outputs]`."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        initial = nnx.initializers.xavier_uniform()
        self.weight = nnx.Param(initial(rngs.params(), (inputs, outputs), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))

    def __call__(self, *parts: Float[Array, "batch _"]) -> Float[Array, "batch outputs"]:
        """Returns float32 `[batch, outputs]`; x is given in one or more parts, side by side.

        Either they are joined or the weight is cut, whichever copies less: a vector of all parts
        of a thousand pairs is an array so large that an allocator keeps none of it.
        """
        weight, bias = self.weight[...], self.bias[...][None, :]
        if len(parts[0]) <= weight.shape[1]:
            return jnp.concatenate(parts, axis=-1) @ weight + bias
        ends = list(accumulate(part.shape[1] for part in parts))
        weights = jnp.split(weight, ends[:-1])
        return sum((x @ w for x, w in zip(parts, weights, strict=True)), start=bias)


def real_tokens(ids: Int[Array, "*batch length"]) -> Bool[Array, "*batch length"]:
    """True where a token is, False where id 0 pads, wherever in the sequence that is."""
    return ids != PADDING_ID


def spread_like(array: Array, *others: Array) -> Array:
    """`array`, made to vary over the devices of a shard_map as the others do; outside, itself.

    A gradient that is written out has to give every argument a cotangent of its own kind. With
    this before it, JAX sums the cotangents over the devices itself.
    """
    wanted = frozenset().union(*(jax.typeof(other).mat.varying for other in others))
    axes = tuple(wanted - jax.typeof(array).mat.varying)
    return jax.lax.pcast(array, axes, to="varying") if axes else array


def share_batch(function: Callable[..., Any], shared: Array, *batched: Array) -> Any:
    """`function(shared, *batched)`, of whose rows every device of the mesh computes its own.

    The gradient of `shared` is added up over the devices once. XLA would do it wherever a part of
    it is made: at every position of a sequence, at every point of a transform.
    """

    def compute(shared: Array, *batched: Array) -> Any:
        alike = spread_like(shared, *batched)
        return function(alike, *(spread_like(array, alike) for array in batched))

    mesh = jax.sharding.get_abstract_mesh()
    if BATCH_AXIS not in mesh.auto_axes or mesh.size == 1:
        return compute(shared, *batched)
    by_rows = P(BATCH_AXIS)
    specs = P(), *(by_rows for _ in batched)
    return jax.shard_map(compute, in_specs=specs, out_specs=by_rows)(shared, *batched)


def embed_tokens(
    table: Float[Array, "vocab dim"], ids: Int[Array, "*batch length"]
) -> Float[Array, "*batch length dim"]:
    """Token vectors, zero where the id is 0.

    Object2Vec multiplies the embedded sequence by (id != 0). A select does the same and keeps
    whatever stands in row 0 of the table, even a NaN, from reaching a result or a gradient.
    Ids must lie in the table: `Scorer` and the readers of records check that they do.
    """
    vectors = table.at[ids].get(mode="promise_in_bounds")
    return jnp.where(real_tokens(ids)[..., None], vectors, 0.0)


def cast_encoders(params: Params, dtype: DType) -> Params:
    """The parameters with those of the encoders as `dtype` holds them; the head's remain float32.

    The encoders multiply in the dtype of their parameters, and add up and return float32.
    """
    held = jnp.dtype("bfloat16" if dtype == "bfloat16" else "float32")
    return {
        name: part if name == "head" else jax.tree.map(lambda leaf: _cast(leaf, held), part)
        for name, part in params.items()
    }


def _cast(leaf: Array | np.ndarray, dtype: np.dtype[Any]) -> Array | np.ndarray:
    """Itself where it can be: a table may fill most of the memory."""
    return leaf if leaf.dtype == dtype else leaf.astype(dtype)
