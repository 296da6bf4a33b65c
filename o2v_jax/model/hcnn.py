"""hcnn: stacked convolutions over time, each layer max-pooled, the pools side by side."""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from o2v_jax.hyperparameters import EncoderConfig
from o2v_jax.model.layers import embed, real_tokens, spread_like
from o2v_jax.model.toom_cook import (
    WIDTHS,
    correlate,
    evaluated,
    input_gradient,
    sees_something,
    weight_gradient,
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
        convolve: Convolve | None = None,
    ) -> Float[Array, "batch length filters"]:
        """Convolves `x`, which must be zero wherever `mask` is False; None means as defined."""
        bias = self.bias[...].astype(jnp.float32)
        y = jax.nn.relu((convolve or convolved)(x, self.weight[...]) + bias[None, None, :])
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
    before = (width - 1) // 2
    padded = jnp.pad(x, ((0, 0), (before, width - 1 - before), (0, 0)))
    windows = [padded[:, k : k + length] for k in range(width)]
    rows, flat = jnp.concatenate(windows, axis=-1), weight.reshape(-1, weight.shape[-1])
    return jnp.matmul(rows, flat, preferred_element_type=jnp.float32)


def convolved_in_line(
    x: Float[Array, "batch length inputs"], weight: Float[Array, "width inputs filters"]
) -> Float[Array, "batch length filters"]:
    """The same in fewer products, for rows that end in as many zeros as `spaced` gives them.

    So they can stand in one line, and no tile is left half empty at the end of a short one.
    """
    return _in_line(spread_like(x, weight), spread_like(weight, x))


@jax.custom_vjp
def _in_line(x: Array, weight: Array) -> Array:
    line, width = x.reshape(-1, x.shape[-1]), len(weight)
    y = correlate(line, evaluated(weight), width)
    # exactly zero of zeros, as defined: the ReLU that follows has a gradient above, none at zero
    y = jnp.where(sees_something(line, width)[:, None], y, 0.0)
    return y.reshape(*x.shape[:2], -1)


def _forward(x: Array, weight: Array) -> tuple[Array, tuple[Array, Array]]:
    return _in_line(x, weight), (x, weight)


def _backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, weight = saved
    line, d_line = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    d_x = input_gradient(d_line, weight).reshape(x.shape)
    return d_x, weight_gradient(line, d_line, len(weight))


_in_line.defvjp(_forward, _backward)


def spaced(ids: Int[Array, "batch length"], width: int) -> Int[Array, "batch longer"]:
    """The rows with as many zeros behind each as a filter reaches into the next."""
    return jnp.pad(ids, ((0, 0), (0, width // 2)))


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
        # for training on a CPU; a GPU's convolutions have units of their own
        on_cpu = rngs is not None and jax.default_backend() == "cpu"
        in_line = on_cpu and self.width in WIDTHS and table.dtype == jnp.float32
        ids = spaced(ids, self.width) if in_line else ids
        mask, x, pools = real_tokens(ids), embed(table, ids), []
        for k in range(self.depth):
            if k > 0:
                x = self.dropout(x, deterministic=rngs is None, rngs=rngs)
            x = getattr(self, f"layer_{k}")(x, mask, convolved_in_line if in_line else None)
            pools.append(x.max(axis=1))
        return jnp.concatenate(pools, axis=-1)
