"""hcnn: tokens convolved beforehand, and convolutions of fewer products."""

from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from o2v_jax.hyperparameters import EncoderConfig
from o2v_jax.model import Params
from o2v_jax.model.hcnn import convolved, convolved_as_product
from o2v_jax.model.layers import embed, real_tokens
from o2v_jax.model.ops import winograd

# How layers are convolved. tiles: in fewer products, if they pay, which a CPU gains by. windows: as
# one matrix product, for which a GPU is faster in float32. definition: by XLA's convolution, which
# is faster where products take less time than what lies between them.
Convolve: TypeAlias = Literal["tiles", "windows", "definition"]


def fold(
    config: EncoderConfig, table: Any, params: Params, *, tokens: bool, convolve: Convolve = "tiles"
) -> Params:
    """Parameters for `encode`; what they hold says how `correlate` goes about it.

    "tokens" is the table of token vectors, or, with `tokens`, what each token adds to the first
    layer at each place of a filter: float32 `[vocab_size, width, filters]`. Row 0 of it is zero.
    """
    layers = [params[f"layer_{k}"] for k in range(config.layers)]
    folded: Params = {}
    for k, layer in enumerate(layers):
        folded[f"layer_{k}"] = {"bias": np.asarray(layer["bias"])}
        if k > 0 or not tokens:
            folded[f"layer_{k}"] |= fold_kernel(np.asarray(layer["weight"]), convolve)
    if tokens:
        table = _convolved(np.asarray(table), np.asarray(layers[0]["weight"]))
    return {"tokens": table, **folded}


def token_width(config: EncoderConfig) -> int:
    """Numbers a token has in the folded table."""
    return config.cnn_filter_width * config.enc_dim // config.layers


def fold_kernel(weight: np.ndarray, convolve: Convolve = "tiles") -> dict[str, np.ndarray]:
    """A kernel `[width, inputs, filters]`, and beside it the evaluated one if that pays."""
    if convolve == "windows":
        return {"windows": weight}
    if convolve == "definition" or not winograd.pays(*weight.shape):
        return {"weight": weight}
    evaluate = winograd.evaluate_filter(len(weight))
    kernel: np.ndarray = np.einsum("nw,wif->nif", evaluate, weight, dtype=np.float64)
    return {"weight": weight, "evaluated": kernel.astype(np.float32)}


def correlate(
    x: Float[Array, "batch length inputs"], kernel: Params
) -> Float[Array, "batch length filters"]:
    """Same-length convolution with a kernel of `fold_kernel`."""
    if "windows" in kernel:
        return convolved_as_product(x, kernel["windows"])
    if _in_tiles(kernel, x.shape[1]):
        return winograd.correlate(x, kernel["evaluated"], len(kernel["weight"]))
    return convolved(x, kernel["weight"])


def encode(
    config: EncoderConfig, params: Params, ids: Int[Array, "batch length"]
) -> Float[Array, "batch enc_dim"]:
    """As `model.hcnn` encodes, at inference."""
    width, layers = config.cnn_filter_width, [params[f"layer_{k}"] for k in range(config.layers)]
    mask, x, pools = real_tokens(ids), _first(params, ids, width), []
    for k, layer in enumerate(layers):
        if k > 0:
            x = correlate(x, layer)
        x = _activated(x, layer["bias"], mask)
        pools.append(x.max(axis=1))
    return jnp.concatenate(pools, axis=-1)


def _in_tiles(kernel: Params, length: int) -> bool:
    return "evaluated" in kernel and winograd.takes_fewer(len(kernel["weight"]), length)


def _activated(
    x: Float[Array, "batch length filters"],
    bias: Float[Array, "filters"],
    mask: Bool[Array, "batch length"],
) -> Float[Array, "batch length filters"]:
    return jnp.where(mask[..., None], jax.nn.relu(x + bias[None, None, :]), 0.0)


def _first(
    params: Params, ids: Int[Array, "batch length"], width: int
) -> Float[Array, "batch length filters"]:
    """The first convolution without its bias."""
    tokens, length = params["tokens"], ids.shape[1]
    if len(params["layer_0"]) > 1:  # more than the bias
        return correlate(embed(tokens, ids), params["layer_0"])
    before = (width - 1) // 2
    around = jnp.pad(ids, ((0, 0), (before, width - 1 - before)))
    taps = winograd.taps_in_reach(width, length)
    total = _at(tokens, around[:, taps[0] : taps[0] + length], taps[0])
    for tap in taps[1:]:
        total = total + _at(tokens, around[:, tap : tap + length], tap)
    return total


def _at(tokens: Array, ids: Array, tap: int) -> Array:
    added: Array = tokens.at[ids, tap].get(mode="promise_in_bounds")
    return added


def _convolved(table: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    width, inputs, filters = kernel.shape
    out = np.zeros((len(table), width * filters), np.float32)
    # all but the padding's vector, which may be anything
    np.matmul(table[1:], kernel.transpose(1, 0, 2).reshape(inputs, -1), out=out[1:])
    return out.reshape(len(table), width, filters)
