"""Which networks fold, and how large the folded tables are."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from jaxtyping import Array, Float, Int

from o2v_jax.hyperparameters import EncoderConfig
from o2v_jax.model import Params
from o2v_jax.model.ops.winograd import MIN_FAN
from o2v_jax.scoring.folding import bilstm, hcnn
from o2v_jax.scoring.folding.hcnn import ConvolutionMethod

FOLDING: dict[str, ModuleType] = {"hcnn": hcnn, "bilstm": bilstm}  # a pooled_embedding has no layer


def is_foldable(config: EncoderConfig) -> bool:
    """Whether there is anything to fold."""
    return config.network in FOLDING


def fold_encoder(
    config: EncoderConfig,
    table: Any,
    params: Params,
    *,
    tokens: bool,
    convolution: ConvolutionMethod = "winograd",
    min_fan: int = MIN_FAN,
) -> Params:
    """An encoder's parameters, its token table included, for `encode_folded_fn`.

    Args:
        config: of the encoder, an hcnn or a bilstm.
        table: float32 `[vocab_size, dim]`; read whole with `tokens`, else handed on as it is.
        params: of the encoder.
        tokens: multiply every token's vector by the first layer now. It takes the table's place.
        convolution: how an hcnn's other layers will be convolved.
        min_fan: width times channels of the smallest kernel for Winograd convolution.
    """
    if config.network == "hcnn":
        return hcnn.fold(
            config,
            table,
            params,
            tokens=tokens,
            convolution=convolution,
            min_fan=min_fan,
        )
    return bilstm.fold(config, table, params, tokens=tokens)


def count_folded_bytes(config: EncoderConfig) -> int:
    """Size of the table that `tokens` makes."""
    width: int = FOLDING[config.network].count_token_floats(config)
    return 4 * config.vocab_size * width


def encode_folded_fn(
    config: EncoderConfig,
) -> Callable[[Params, Int[Array, "batch length"]], Float[Array, "batch enc_dim"]]:
    """A pure function (folded parameters, ids) -> encodings, for inference in float32."""

    def encode(params: Params, ids: Int[Array, "batch length"]) -> Float[Array, "batch enc_dim"]:
        encodings: Float[Array, "batch enc_dim"]
        encodings = FOLDING[config.network].encode(config, params, ids)
        return encodings

    return encode
