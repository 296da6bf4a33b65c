"""hcnn: tokens convolved beforehand, and convolutions of fewer products."""

from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from o2v_jax.hyperparameters import EncoderConfig
from o2v_jax.model import Params
from o2v_jax.model.hcnn import convolve, convolve_windows
from o2v_jax.model.layers import embed_tokens, real_tokens
from o2v_jax.model.ops import winograd
from o2v_jax.model.ops.winograd_transforms import make_filter_transform

# winograd: in fewer products, where that is profitable, as on a CPU. windows: as one matrix
# product, which is faster on a GPU in float32. direct: by XLA's convolution, which is faster
# where products take less time than what lies between them.
ConvolutionMethod: TypeAlias = Literal["winograd", "windows", "direct"]


def fold(
    config: EncoderConfig,
    table: Any,
    params: Params,
    *,
    tokens: bool,
    convolution: ConvolutionMethod = "winograd",
    min_fan: int = winograd.MIN_FAN,
) -> Params:
    """Parameters for `encode`; what they hold says how `convolve_folded` goes about it.

    "tokens" is the table of token vectors, or, with `tokens`, what each token adds to the first
    layer at each tap of a filter: float32 `[vocab_size, width, filters]`. Row 0 of it is zero.
    """
    layers = [params[f"layer_{k}"] for k in range(config.layers)]
    folded: Params = {}
    for k, layer in enumerate(layers):
        folded[f"layer_{k}"] = {"bias": np.asarray(layer["bias"])}
        if k > 0 or not tokens:
            folded[f"layer_{k}"] |= fold_kernel(np.asarray(layer["weight"]), convolution, min_fan)
    if tokens:
        table = _convolve_tokens(np.asarray(table), np.asarray(layers[0]["weight"]))
    return {"tokens": table, **folded}


def count_token_floats(config: EncoderConfig) -> int:
    """Numbers a token has in the folded table."""
    return config.cnn_filter_width * config.enc_dim // config.layers


def fold_kernel(
    weight: np.ndarray,
    convolution: ConvolutionMethod = "winograd",
    min_fan: int = winograd.MIN_FAN,
) -> dict[str, np.ndarray]:
    """A kernel `[width, inputs, filters]`, and beside it the transformed one if that is profitable.

    Args:
        weight: the kernel.
        convolution: how it will be used.
        min_fan: width times channels of the smallest kernel for Winograd convolution.
    """
    if convolution == "windows":
        return {"windows": weight}
    if convolution == "direct" or not winograd.is_profitable(weight.shape, min_fan):
        return {"weight": weight}
    transform = make_filter_transform(len(weight))
    kernel: np.ndarray = np.einsum("nw,wif->nif", transform, weight, dtype=np.float64)
    return {"weight": weight, "transformed": kernel.astype(np.float32)}


def convolve_folded(
    x: Float[Array, "batch length inputs"], kernel: Params
) -> Float[Array, "batch length filters"]:
    """Same-length convolution with a kernel of `fold_kernel`."""
    if "windows" in kernel:
        return convolve_windows(x, kernel["windows"])
    if "transformed" in kernel and winograd.saves_products(len(kernel["weight"]), x.shape[1]):
        return winograd.convolve_transformed(x, kernel["transformed"], len(kernel["weight"]))
    return convolve(x, kernel["weight"])


def encode(
    config: EncoderConfig, params: Params, ids: Int[Array, "batch length"]
) -> Float[Array, "batch enc_dim"]:
    """As `model.hcnn` encodes, at inference."""
    layers = [params[f"layer_{k}"] for k in range(config.layers)]
    mask = real_tokens(ids)
    x = _convolve_first(params, ids, config.cnn_filter_width)
    pools = []
    for k, layer in enumerate(layers):
        if k > 0:
            x = convolve_folded(x, layer)
        x = _activate(x, layer["bias"], mask)
        pools.append(x.max(axis=1))
    return jnp.concatenate(pools, axis=-1)


def _activate(
    x: Float[Array, "batch length filters"],
    bias: Float[Array, "filters"],
    mask: Bool[Array, "batch length"],
) -> Float[Array, "batch length filters"]:
    return jnp.where(mask[..., None], jax.nn.relu(x + bias[None, None, :]), 0.0)


def _convolve_first(
    params: Params, ids: Int[Array, "batch length"], width: int
) -> Float[Array, "batch length filters"]:
    """The first convolution without its bias."""
    tokens, length = params["tokens"], ids.shape[1]
    if len(params["layer_0"]) > 1:  # more than the bias
        return convolve_folded(embed_tokens(tokens, ids), params["layer_0"])
    before = (width - 1) // 2
    around = jnp.pad(ids, ((0, 0), (before, width - 1 - before)))
    taps = winograd.find_taps(width, length)
    total = _read_tap(tokens, around[:, taps[0] : taps[0] + length], taps[0])
    for tap in taps[1:]:
        total = total + _read_tap(tokens, around[:, tap : tap + length], tap)
    return total


def _read_tap(tokens: Array, ids: Array, tap: int) -> Array:
    added: Array = tokens.at[ids, tap].get(mode="promise_in_bounds")
    return added


def _convolve_tokens(table: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    width, inputs, filters = kernel.shape
    out = np.zeros((len(table), width * filters), np.float32)
    # all but the padding's vector, which may be anything
    np.matmul(table[1:], kernel.transpose(1, 0, 2).reshape(inputs, -1), out=out[1:])
    return out.reshape(len(table), width, filters)
