"""hcnn: stacked convolutions over time, each layer max-pooled, the pools side by side."""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from o2v_jax.hyperparameters import EncoderConfig
from o2v_jax.model.layers import embed_tokens, real_tokens
from o2v_jax.model.ops import winograd

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


def convolve(
    x: Float[Array, "batch length inputs"], weight: Float[Array, "width inputs filters"]
) -> Float[Array, "batch length filters"]:
    """Same-length convolution without bias, at the precision of `weight`, added up in float32.

    XLA's convolution on a CPU is 15 to 30 times slower where a sequence is shorter than the filter
    (measured at widths 3 and 5), so there the windows are laid out for one matrix product.
    """
    x = x.astype(weight.dtype)
    if x.shape[1] < weight.shape[0]:
        return convolve_windows(x, weight)
    return jax.lax.conv_general_dilated(
        x,
        weight,
        (1,),
        "SAME",
        dimension_numbers=("NWC", "WIO", "NWC"),
        preferred_element_type=jnp.float32,
    )


def convolve_windows(
    x: Float[Array, "batch length inputs"], weight: Float[Array, "width inputs filters"]
) -> Float[Array, "batch length filters"]:
    """As `convolve`, by one matrix product of all windows, without the taps that see no step."""
    width, length = weight.shape[0], x.shape[1]
    before = (width - 1) // 2
    padded = jnp.pad(x, ((0, 0), (before, width - 1 - before), (0, 0)))
    taps = winograd.find_taps(width, length)
    windows = jnp.concatenate([padded[:, k : k + length] for k in taps], axis=-1)
    flat = weight[taps.start : taps.stop].reshape(-1, weight.shape[-1])
    return jnp.matmul(windows, flat, preferred_element_type=jnp.float32)


class HierarchicalCNN(nnx.Module):
    """`layers` convolutions with enc_dim / layers filters each; layer k+1 reads layer k.

    Every layer's output is max-pooled over the real tokens and the pools are concatenated. Dropout
    stands between the layers. A sequence without tokens encodes to the zero vector. The outputs
    are not negative, so zeros at padding leave the maximum of a real sequence as it is.
    Source: Object2Vec's own logs; masking is this project's, so that padding changes nothing.

    Args:
        config: of the encoder.
        rngs: draws the initial parameters.
        winograd_min_fan: kernels whose width times channels is at least this are convolved by
            `ops.winograd`, which has no forward-mode derivative; None: none are.
    """

    def __init__(
        self, config: EncoderConfig, *, rngs: nnx.Rngs, winograd_min_fan: int | None = None
    ) -> None:
        self.depth = config.layers
        self.width = config.cnn_filter_width
        self.winograd_min_fan = winograd_min_fan
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
        by_winograd = [self._takes_winograd(layer.weight[...], ids.shape[1]) for layer in layers]
        if any(by_winograd):  # to whole tiles once instead of in every layer
            more = winograd.round_to_tiles(ids.shape[1], self.width) - ids.shape[1]
            ids = jnp.pad(ids, ((0, 0), (0, more)))
        mask, x = real_tokens(ids), embed_tokens(table, ids)
        pools = []
        for k, layer in enumerate(layers):
            if k > 0:
                x = self.dropout(x, deterministic=rngs is None, rngs=rngs)
            x = layer(x, mask, winograd.winograd_convolve if by_winograd[k] else convolve)
            pools.append(x.max(axis=1))
        return jnp.concatenate(pools, axis=-1)

    def _takes_winograd(self, weight: Array, length: int) -> bool:
        least = self.winograd_min_fan
        if least is None or weight.dtype != jnp.float32:
            return False
        is_profitable = winograd.is_profitable(weight.shape, least)
        return is_profitable and winograd.saves_products(len(weight), length)
