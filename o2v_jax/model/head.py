"""What makes scores of two encodings: comparator, MLP and output layer; or their similarity."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from o2v_jax.hyperparameters import Hyperparameters, InBatchObjective
from o2v_jax.model.layers import FullyConnected

Vectors: TypeAlias = Float[Array, "batch width"]

COMPARATORS: dict[str, Callable[[Vectors, Vectors], tuple[Vectors, ...]]] = {
    "hadamard": lambda enc0, enc1: (enc0 * enc1,),
    "concat": lambda enc0, enc1: (enc0, enc1),
    "abs_diff": lambda enc0, enc1: (jnp.abs(enc0 - enc1),),
}


def compare(
    names: Sequence[str], enc0: Float[Array, "batch enc_dim"], enc1: Float[Array, "batch enc_dim"]
) -> list[Float[Array, "batch enc_dim"]]:
    """The named comparisons of two encodings, in the order of `names`: the parts of the vector.

    They are not concatenated, which would write the largest array of the network to memory.
    """
    return [part for name in names for part in COMPARATORS[name](enc0, enc1)]


def find_compared_width(names: Sequence[str], enc_dim: int) -> int:
    """Width of what `compare` returns: `concat` counts twice."""
    return sum(2 * enc_dim if name == "concat" else enc_dim for name in names)


ACTIVATIONS: dict[str, Callable[[Float[Array, "..."]], Float[Array, "..."]]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "linear": lambda x: x,
}


class MLP(nnx.Module):
    """mlp_layers times FullyConnected(mlp_dim), activation, dropout; none of it for 0 layers."""

    def __init__(self, inputs: int, config: Hyperparameters, *, rngs: nnx.Rngs) -> None:
        self.depth = config.mlp_layers
        self.activation = config.mlp_activation
        self.dropout = nnx.Dropout(config.dropout)
        for k in range(config.mlp_layers):
            setattr(self, f"fc_{k}", FullyConnected(inputs, config.mlp_dim, rngs=rngs))
            inputs = config.mlp_dim

    def __call__(
        self, parts: Sequence[Float[Array, "batch _"]], rngs: nnx.Rngs | None = None
    ) -> Sequence[Float[Array, "batch _"]]:
        """Vectors in parts, in and out; `rngs` draws the dropout, none means inference."""
        for k in range(self.depth):
            x = ACTIVATIONS[self.activation](getattr(self, f"fc_{k}")(*parts))
            parts = [self.dropout(x, deterministic=rngs is None, rngs=rngs)]
        return parts


def normalize(vectors: Float[Array, "batch width"]) -> Float[Array, "batch width"]:
    """Vectors of length 1; those of length 0 stay, and have a gradient of 0."""
    squares = jnp.square(vectors).sum(axis=-1, keepdims=True)
    is_zero = squares == 0
    return jnp.where(is_zero, 0.0, vectors * jax.lax.rsqrt(jnp.where(is_zero, 1.0, squares)))


class SimilarityHead(nnx.Module):
    """Two encodings in, their cosine or inner product out: float32 `[batch, 1]`, no parameters."""

    def __init__(self, objective: InBatchObjective) -> None:
        self.similarity = objective.similarity

    def logits(
        self,
        enc0: Float[Array, "batch enc_dim"],
        enc1: Float[Array, "batch enc_dim"],
        rngs: nnx.Rngs | None = None,  # noqa: ARG002 - as of Head: there is nothing to drop
    ) -> Float[Array, "batch 1"]:
        """The same as a call: nothing follows."""
        if self.similarity == "cosine":
            enc0, enc1 = normalize(enc0), normalize(enc1)
        return (enc0 * enc1).sum(axis=-1, keepdims=True)

    def __call__(
        self, enc0: Float[Array, "batch enc_dim"], enc1: Float[Array, "batch enc_dim"]
    ) -> Float[Array, "batch 1"]:
        """The similarity of each pair."""
        return self.logits(enc0, enc1)


def make_head(config: Hyperparameters, *, rngs: nnx.Rngs) -> "Head | SimilarityHead":
    """What a configuration makes scores with."""
    if config.objective is not None:
        return SimilarityHead(config.objective)
    return Head(config, rngs=rngs)


class Head(nnx.Module):
    """Two encodings in, one row of outputs a pair out."""

    def __init__(self, config: Hyperparameters, *, rngs: nnx.Rngs) -> None:
        width = find_compared_width(config.comparator_list, config.enc_dim)
        self.comparators = config.comparator_list
        self.softmax = config.output_layer == "softmax"
        self.mlp = MLP(width, config, rngs=rngs)
        last = config.mlp_dim if config.mlp_layers else width
        self.output_layer = FullyConnected(last, config.outputs, rngs=rngs)

    def logits(
        self,
        enc0: Float[Array, "batch enc_dim"],
        enc1: Float[Array, "batch enc_dim"],
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "batch outputs"]:
        """What the output layer gives, before any softmax."""
        return self.output_layer(*self.mlp(compare(self.comparators, enc0, enc1), rngs))

    def __call__(
        self, enc0: Float[Array, "batch enc_dim"], enc1: Float[Array, "batch enc_dim"]
    ) -> Float[Array, "batch outputs"]:
        """Class probabilities, or for regression the raw value."""
        logits = self.logits(enc0, enc1)
        return jax.nn.softmax(logits, axis=-1) if self.softmax else logits
