"""A model's parameters where they are used: on the device, each of them once."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import numpy as np

from o2v_jax.limits import DType
from o2v_jax.model import NETWORK_NAMES, encoders_in, head_fn, table_name, tower_fn
from o2v_jax.scoring.programs import Key, Program, compile_ahead

if TYPE_CHECKING:
    from o2v_jax.checkpoint import Model

Tower: TypeAlias = tuple[Any, Any]


class Parameters:
    """The encoders' parameters on a device in `dtype`; the head's, in float32, when asked for.

    Programs run on the device of the parameters that they are compiled for; None is JAX's default.
    What leaves an encoder is float32 whatever it holds, and so is all arithmetic after it.
    """

    def __init__(self, model: "Model", dtype: DType, device: jax.Device | None = None) -> None:
        encoders = dict(model.params)
        self._config, self._head_on_host = model.config, encoders.pop("head")
        self.enc_dim, self.outputs = model.config.enc_dim, model.config.outputs
        self._device = device
        self._encoders = jax.device_put(encoders_in(encoders, dtype), device)

    def tower(self, side: int) -> Tower:
        """The parameters of one encoder: its token table, and the rest."""
        table = self._encoders[table_name(self._config, side)]["weight"]
        return table, self._encoders.get(NETWORK_NAMES[side], {})

    @cached_property
    def head(self) -> Any:
        """The parameters of comparator and MLP."""
        return jax.device_put(self._head_on_host, self._device)

    def compile(self, key: Key, side: int | None) -> Program:
        """The program of a key: of the encoder of a side, or of the head."""
        _, batch, length = key
        if side is None:
            encodings = jax.ShapeDtypeStruct((batch, self._config.enc_dim), np.float32)
            return compile_ahead(head_fn(self._config), self.head, encodings, encodings)
        ids = jax.ShapeDtypeStruct((batch, length), np.int32)
        function: Callable[..., Any] = tower_fn(self._config.encoder(side))
        return compile_ahead(function, *self.tower(side), ids)
