"""A model's parameters where they are used: on the device, each of them once."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from o2v_jax.devices import platform_of
from o2v_jax.errors import DType
from o2v_jax.model import NETWORK_NAMES, Params, encoders_in, head_fn, table_name, tower_fn
from o2v_jax.scoring.compiler import Compiler
from o2v_jax.scoring.folding import (
    Convolve,
    encode_folded_fn,
    fold_head,
    fold_tower,
    folded_bytes,
    folds,
)
from o2v_jax.scoring.programs import Program, into_table, of_tables, rows_of

if TYPE_CHECKING:
    from o2v_jax.checkpoint import Model

FOLDED_BYTES = 2**29  # of both sides' folded token tables


class Tower(NamedTuple):
    """One encoder: `encode(*params, ids)` gives its encodings."""

    encode: Callable[..., Any]
    params: tuple[Any, ...]


class Parameters:
    """The encoders' parameters on a device in `dtype`; the head's, in float32, when asked for.

    Unless in bfloat16, encoders are folded (`o2v_jax.scoring.folding`), their token tables too if
    that makes them at most `FOLDED_BYTES` large. Programs run on the device of the parameters that
    they are compiled for; None is JAX's default. What leaves an encoder is float32 whatever it
    holds, and so is all arithmetic after it.

    Tables keep encodings on the device: float32 `[rows, enc_dim]`. A program that writes into one
    takes it over and returns it.
    """

    def __init__(self, model: "Model", dtype: DType, device: jax.Device | None = None) -> None:
        encoders = dict(model.params)
        self._head_config, self._head_on_host = fold_head(model.config, encoders.pop("head"))
        self.enc_dim, self.outputs = model.config.enc_dim, model.config.outputs
        self._device = device
        self._folds, platform = dtype != "bfloat16", platform_of(device)
        self._convolve = _convolve(dtype, on_cpu=platform == "cpu")
        self._of_encoders = Compiler(platform, dtype)
        self._of_head = Compiler(platform, "float32" if dtype == "bfloat16" else dtype)
        self._towers = self._towers_of(model, encoders_in(encoders, dtype))

    def tower(self, side: int) -> tuple[Any, ...]:
        """The parameters of one encoder, as its programs take them."""
        return self._towers[side].params

    @cached_property
    def head(self) -> Any:
        """The parameters of comparator and MLP."""
        return jax.device_put(self._head_on_host, self._device)

    def encode_into(self, capacity: int, side: int, batch: int, length: int) -> Program:
        """The program of an encoder: (table, first row, parameters, ids) -> table, next row."""
        ids, first = jax.ShapeDtypeStruct((batch, length), np.int32), self.first_row
        table, function = self._table_shape(capacity), into_table(self._towers[side].encode)
        return self._of_encoders(function, table, first, *self.tower(side), ids, donate=0)

    def compare(self, batch: int) -> Program:
        """The head's program: (parameters, encodings, encodings) -> scores."""
        encodings = jax.ShapeDtypeStruct((batch, self.enc_dim), np.float32)
        return self._of_head(head_fn(self._head_config), self.head, encodings, encodings)

    def compare_rows(self, tables: int, capacity: int, batch: int) -> Program:
        """The same of tables: (parameters, tables, rows of each side, `[2, batch]`)."""
        rows, given = jax.ShapeDtypeStruct((2, batch), np.int32), self._table_shape(capacity)
        return self._of_head(
            of_tables(head_fn(self._head_config)), self.head, (given,) * tables, rows
        )

    def score_pairs(self, batch: int, length: int) -> Program:
        """Encoders and head: (parameters of the encoders, of the head, ids, ids) -> scores."""
        ids, (one, two) = jax.ShapeDtypeStruct((batch, length), np.int32), self._towers
        head = head_fn(self._head_config)

        def score(params0: Any, params1: Any, params: Any, in0: Any, in1: Any) -> Any:
            encodings = one.encode(*params0, in0), two.encode(*params1, in1)
            with jax.default_matmul_precision(self._of_head.precision):
                return head(params, *encodings)

        return self._of_encoders(score, one.params, two.params, self.head, ids, ids)

    def take_rows(self, tables: int, capacity: int, batch: int) -> Program:
        """Encodings from tables: (tables, rows, `[batch]`) -> encodings."""
        rows, given = jax.ShapeDtypeStruct((batch,), np.int32), self._table_shape(capacity)
        return self._of_encoders(rows_of, (given,) * tables, rows)

    def table(self, capacity: int) -> jax.Array:
        """A table of so many rows, float32 `[capacity, enc_dim]`."""
        zeros = np.zeros((capacity, self.enc_dim), np.float32)  # of jnp they would be compiled
        table: jax.Array = jax.device_put(zeros, self._device)
        return table

    @cached_property
    def first_row(self) -> jax.Array:
        """Zero, on the device."""
        first: jax.Array = jax.device_put(np.zeros((), np.int32), self._device)
        return first

    def _table_shape(self, capacity: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((capacity, self.enc_dim), np.float32)

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
                folded = fold_tower(config, table, params, tokens=tokens, convolve=self._convolve)
                given: tuple[Any, ...] = (jax.device_put(folded, self._device),)
                towers.append(Tower(encode_folded_fn(config), given))
            else:
                given = tables[name], jax.device_put(params, self._device)
                towers.append(Tower(tower_fn(config), given))
        return towers


def _convolve(dtype: DType, *, on_cpu: bool) -> Convolve:
    """How layers are convolved fastest; measured on two cores and on an H200."""
    if on_cpu:
        return "tiles"
    return "windows" if dtype == "float32" else "definition"


class _Tables(dict[str, jax.Array]):
    """Token tables on the device, put there when first asked for: a tied one only once."""

    def __init__(self, encoders: Params, device: jax.Device | None) -> None:
        super().__init__()
        self._encoders, self._device = encoders, device

    def __missing__(self, name: str) -> jax.Array:
        self[name] = jax.device_put(self._encoders[name]["weight"], self._device)
        return self[name]
