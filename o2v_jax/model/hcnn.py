"""hcnn: stacked convolutions over time, each layer max-pooled, the pools side by side."""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from o2v_jax.hyperparameters import EncoderConfig
from o2v_jax.model.layers import embed, real_tokens, spread_like
from o2v_jax.model.ops.winograd import (
    correlate,
    evaluated,
    gradients,
    pays,
    sees_something,
    takes_fewer,
    taps_in_reach,
    tiled_length,
)

Convolve: TypeAlias = Callable[[Array, Array], Array]


class Convolution(nnx.Module):
    """Same-length 1-D convolution over time with bias, then ReLU, then zero where no token is.

    `weight` is float32 `[width, inputs, filters]`. An even width reaches one step further to the
    right than to the left.
    """

    def __init__(self, width: int, inputs: int, filters: int, *, rngs: nnx.Rngs) -> None:
        initial = nnx.initializers.xavier_uniform()
        self.weight = nnx.Param(initial(rngs.params(), (width, inputs, filters), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(filters, jnp.float32))

    def __call__(
        self,
        x: Float[Array, "batch length inputs"],
        mask: Bool[Array, "batch length"],
        convolve: Convolve,
    ) -> Float[Array, "batch length filters"]:
        """Applies `convolve` to `x`, which must be zero wherever `mask` is False."""
        bias = self.bias[...].astype(jnp.float32)
        y = jax.nn.relu(convolve(x, self.weight[...]) + bias[None, None, :])
        return jnp.where(mask[..., None], y, 0.0)


def convolved(
    x: Float[Array, "batch length inputs"], weight: Float[Array, "width inputs filters"]
) -> Float[Array, "batch length filters"]:
    """Same-length convolution without bias, at the precision of `weight`, added up in float32.

    XLA's convolution on a CPU is 15 to 30 times slower where a sequence is shorter than the filter
    (measured at widths 3 and 5), so there the windows are laid out for one matrix product.
    """
    width, length, x = weight.shape[0], x.shape[1], x.astype(weight.dtype)
    if length >= width:
        layout = ("NWC", "WIO", "NWC")
        return jax.lax.conv_general_dilated(
            x,
            weight,
            (1,),
            "SAME",
            dimension_numbers=layout,
            preferred_element_type=jnp.float32,
        )
    return convolved_as_product(x, weight)


def convolved_as_product(
    x: Float[Array, "batch length inputs"], weight: Float[Array, "width inputs filters"]
) -> Float[Array, "batch length filters"]:
    """The same as one matrix product of all windows, without the taps that see no step."""
    width, length = weight.shape[0], x.shape[1]
    before = (width - 1) // 2
    padded = jnp.pad(x, ((0, 0), (before, width - 1 - before), (0, 0)))
    taps = taps_in_reach(width, length)
    windows, weight = [padded[:, k : k + length] for k in taps], weight[taps.start : taps.stop]
    rows, flat = jnp.concatenate(windows, axis=-1), weight.reshape(-1, weight.shape[-1])
    return jnp.matmul(rows, flat, preferred_element_type=jnp.float32)


def convolved_in_tiles(
    x: Float[Array, "batch length inputs"], weight: Float[Array, "width inputs filters"]
) -> Float[Array, "batch length filters"]:
    """The same in fewer products, in float32; without forward-mode differentiation."""
    return _in_tiles(spread_like(x, weight), spread_like(weight, x))


@jax.custom_vjp
def _in_tiles(x: Array, weight: Array) -> Array:
    return _forward(x, weight)[0]


def _forward(x: Array, weight: Array) -> tuple[Array, tuple[Array, ...]]:
    width, kernel = len(weight), evaluated(weight)
    y = correlate(x, kernel, width)
    # exactly zero of zeros, as defined: the ReLU that follows has a gradient above, none at zero
    return jnp.where(sees_something(x, width)[..., None], y, 0.0), (x, weight, kernel)


def _backward(saved: tuple[Array, ...], gradient: Array) -> tuple[Array, Array]:
    x, weight, kernel = saved
    return gradients(x, kernel, len(weight), gradient)


_in_tiles.defvjp(_forward, _backward)


def filled(ids: Int[Array, "batch length"], width: int) -> Int[Array, "batch longer"]:
    """The rows, padded to whole tiles of `convolved_in_tiles` once instead of in every layer."""
    return jnp.pad(ids, ((0, 0), (0, tiled_length(ids.shape[1], width) - ids.shape[1])))


def _pays(weight: Array, length: int) -> bool:
    in_float32 = weight.dtype == jnp.float32
    return in_float32 and pays(*weight.shape) and takes_fewer(len(weight), length)


class HierarchicalCNN(nnx.Module):
    """`layers` convolutions with enc_dim / layers filters each; layer k+1 reads layer k.

    Every layer's output is max-pooled over the real tokens and the pools are concatenated. Dropout
    stands between the layers. A sequence without tokens encodes to the zero vector: the outputs
    are not negative, so that zero at padding leaves the maximum of a real sequence as it is.
    Source: Object2Vec's own logs; masking is this project's, so that padding changes nothing.
    """

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs) -> None:
        self.depth, self.width = config.layers, config.cnn_filter_width
        self.dropout = nnx.Dropout(config.dropout)
        filters = config.enc_dim // config.layers
        inputs = config.token_embedding_dim
        for k in range(config.layers):
            layer = Convolution(config.cnn_filter_width, inputs, filters, rngs=rngs)
            setattr(self, f"layer_{k}", layer)
            inputs = filters

    def __call__(
        self,
        table: Float[Array, "vocab dim"],
        ids: Int[Array, "batch length"],
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "batch enc_dim"]:
        """Encodes each row of ids; `rngs` draws the dropout, none means inference."""
        layers = [getattr(self, f"layer_{k}") for k in range(self.depth)]
        # for training on a CPU; a GPU's convolutions have units of their own
        on_cpu = rngs is not None and jax.default_backend() == "cpu"
        in_tiles = [on_cpu and _pays(layer.weight[...], ids.shape[1]) for layer in layers]
        ids = filled(ids, self.width) if any(in_tiles) else ids
        mask, x, pools = real_tokens(ids), embed(table, ids), []
        for k, layer in enumerate(layers):
            if k > 0:
                x = self.dropout(x, deterministic=rngs is None, rngs=rngs)
            x = layer(x, mask, convolved_in_tiles if in_tiles[k] else convolved)
            pools.append(x.max(axis=1))
        return jnp.concatenate(pools, axis=-1)
