"""A model's parameters where they are used: on the device, each of them once."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from o2v_jax.folding import encode_folded_fn, fold_head, fold_tower, folded_bytes, folds
from o2v_jax.limits import DType
from o2v_jax.model import NETWORK_NAMES, Params, encoders_in, head_fn, table_name, tower_fn
from o2v_jax.scoring.programs import Key, Program, compile_ahead

if TYPE_CHECKING:
    from o2v_jax.checkpoint import Model

FOLDED_BYTES = 2**29  # of both sides' folded token tables


class Tower(NamedTuple):
    """One encoder: `encode(*params, ids)` gives its encodings."""

    encode: Callable[..., Any]
    params: tuple[Any, ...]


class Parameters:
    """The encoders' parameters on a device in `dtype`; the head's, in float32, when asked for.

    On a CPU in float32 encoders are folded (`o2v_jax.folding`), their token tables too if that
    makes them at most `FOLDED_BYTES` large. Programs run on the device of the parameters that they
    are compiled for; None is JAX's default. What leaves an encoder is float32 whatever it holds,
    and so is all arithmetic after it.
    """

    def __init__(self, model: "Model", dtype: DType, device: jax.Device | None = None) -> None:
        encoders = dict(model.params)
        self._head_config, self._head_on_host = fold_head(model.config, encoders.pop("head"))
        self.enc_dim, self.outputs = model.config.enc_dim, model.config.outputs
        self._device = device
        platform = device.platform if device else jax.default_backend()
        self._folds = platform == "cpu" and dtype == "float32"
        self._towers = self._towers_of(model, encoders_in(encoders, dtype))

    def tower(self, side: int) -> tuple[Any, ...]:
        """The parameters of one encoder, as its programs take them."""
        return self._towers[side].params

    @cached_property
    def head(self) -> Any:
        """The parameters of comparator and MLP."""
        return jax.device_put(self._head_on_host, self._device)

    def compile(self, key: Key, side: int | None) -> Program:
        """The program of a key: of the encoder of a side, or of the head."""
        _, batch, length = key
        if side is None:
            encodings = jax.ShapeDtypeStruct((batch, self.enc_dim), np.float32)
            return compile_ahead(head_fn(self._head_config), self.head, encodings, encodings)
        ids = jax.ShapeDtypeStruct((batch, length), np.int32)
        return compile_ahead(self._towers[side].encode, *self.tower(side), ids)

    def _towers_of(self, model: "Model", encoders: Params) -> list[Tower]:
        """Both encoders; tokens are folded for both or for neither, so that they share programs."""
        configs = [model.config.encoder(side) for side in (0, 1)]
        size = sum(folded_bytes(config) for config in configs if folds(config))
        tables, towers = _Tables(encoders, self._device), []
        for side, config in enumerate(configs):
            name, params = table_name(model.config, side), encoders.get(NETWORK_NAMES[side], {})
            if self._folds and folds(config):
                tokens = size <= FOLDED_BYTES
                table = encoders[name]["weight"] if tokens else tables[name]
                folded = fold_tower(config, table, params, tokens=tokens)
                given: tuple[Any, ...] = (jax.device_put(folded, self._device),)
                towers.append(Tower(encode_folded_fn(config), given))
            else:
                given = tables[name], jax.device_put(params, self._device)
                towers.append(Tower(tower_fn(config), given))
        return towers


class _Tables(dict[str, jax.Array]):
    """Token tables on the device, put there when first asked for: a tied one only once."""

    def __init__(self, encoders: Params, device: jax.Device | None) -> None:
        super().__init__()
        self._encoders, self._device = encoders, device

    def __missing__(self, name: str) -> jax.Array:
        self[name] = jax.device_put(self._encoders[name]["weight"], self._device)
        return self[name]
