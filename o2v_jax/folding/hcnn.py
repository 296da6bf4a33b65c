"""hcnn: the rows of a batch as one sequence, tokens convolved beforehand, fewer products."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from o2v_jax.hyperparameters import EncoderConfig
from o2v_jax.model import Params
from o2v_jax.model.hcnn import convolved, spaced
from o2v_jax.model.layers import embed, real_tokens
from o2v_jax.model.toom_cook import WIDTHS, transforms
from o2v_jax.model.toom_cook import correlate as correlate_evaluated


def fold(config: EncoderConfig, table: Any, params: Params, *, tokens: bool) -> Params:
    """Parameters for `encode`.

    "tokens" is the table of token vectors, or, with `tokens`, what each token adds to the first
    layer at each place of a filter: float32 `[vocab_size, width, filters]`. Row 0 of it is zero.
    """
    layers = [params[f"layer_{k}"] for k in range(config.layers)]
    folded: Params = {}
    for k, layer in enumerate(layers):
        folded[f"layer_{k}"] = {"bias": np.asarray(layer["bias"])}
        if k > 0 or not tokens:
            folded[f"layer_{k}"]["kernel"] = fold_kernel(np.asarray(layer["weight"]))
    if tokens:
        table = _convolved(np.asarray(table), np.asarray(layers[0]["weight"]))
    return {"tokens": table, **folded}


def token_width(config: EncoderConfig) -> int:
    """Numbers a token has in the folded table."""
    return config.cnn_filter_width * config.enc_dim // config.layers


def fold_kernel(weight: np.ndarray) -> np.ndarray:
    """A kernel `[width, inputs, filters]` as `correlate` takes it: evaluated if it can be."""
    if len(weight) not in WIDTHS:
        return weight
    evaluate = transforms(len(weight)).evaluate_filter
    kernel: np.ndarray = np.einsum("nw,wif->nif", evaluate, weight, dtype=np.float64)
    return kernel.astype(np.float32)


def correlate(
    x: Float[Array, "steps inputs"], kernel: Float[Array, "n inputs filters"], width: int
) -> Float[Array, "steps filters"]:
    """Same-length convolution of one long sequence with a kernel of `fold_kernel`."""
    if width in WIDTHS:
        return correlate_evaluated(x, kernel, width)
    return convolved(x[None], kernel)[0]


def encode(
    config: EncoderConfig, params: Params, ids: Int[Array, "batch length"]
) -> Float[Array, "batch enc_dim"]:
    """As `model.hcnn` encodes, at inference.

    The rows stand in one line, so that no tile of a convolution is left half empty at the end of a
    short one.
    """
    width = config.cnn_filter_width
    rows = spaced(ids, width) if len(ids) > 1 else ids
    line = rows.reshape(-1)
    mask, x, pools = real_tokens(line), _first(params, line, width), []
    for k in range(config.layers):
        layer = params[f"layer_{k}"]
        if k > 0:
            x = correlate(x, layer["kernel"], width)
        x = _activated(x, layer["bias"], mask)
        pools.append(x.reshape(*rows.shape, -1).max(axis=1))
    return jnp.concatenate(pools, axis=-1)


def _activated(
    x: Float[Array, "steps filters"], bias: Float[Array, "filters"], mask: Bool[Array, "steps"]
) -> Float[Array, "steps filters"]:
    return jnp.where(mask[:, None], jax.nn.relu(x + bias[None, :]), 0.0)


def _first(params: Params, line: Int[Array, "steps"], width: int) -> Float[Array, "steps filters"]:
    """The first convolution without its bias."""
    tokens = params["tokens"]
    if "kernel" in params["layer_0"]:
        return correlate(embed(tokens, line), params["layer_0"]["kernel"], width)
    before, length = (width - 1) // 2, len(line)
    around = jnp.pad(line, (before, width - 1 - before))
    total = _at(tokens, around[:length], 0)
    for tap in range(1, width):
        total = total + _at(tokens, around[tap : tap + length], tap)
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
