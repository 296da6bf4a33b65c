"""A model's parameters where they are used: on the device, each of them once."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from o2v_jax.constants import DType
from o2v_jax.devices import platform_of
from o2v_jax.hyperparameters import EncoderConfig
from o2v_jax.model import NETWORK_NAMES, Params, cast_encoders, encoder_fn, head_fn, table_name
from o2v_jax.scoring.compiler import Compiler
from o2v_jax.scoring.device_profile import DeviceProfile, get_device_profile
from o2v_jax.scoring.folding import (
    count_folded_bytes,
    encode_folded_fn,
    fold_encoder,
    fold_head,
    is_foldable,
)
from o2v_jax.scoring.programs import Program, compare_in_tables, take_from_tables, write_into_table

if TYPE_CHECKING:
    from o2v_jax.checkpoint import Model


class Encoder(NamedTuple):
    """One encoder: `encode(*params, ids)` gives its encodings."""

    encode: Callable[..., Any]
    params: tuple[Any, ...]


class Weights:
    """The encoders' parameters on a device in `dtype`; the head's, in float32, when asked for.

    Unless in bfloat16, encoders are folded (`o2v_jax.scoring.folding`), their token tables too if
    the device profile has room for them. Programs run on the device of the parameters that they are
    compiled for; None is JAX's default. What leaves an encoder is float32 whatever it holds, and so
    is all arithmetic after it.

    Tables keep encodings on the device: float32 `[rows, enc_dim]`. A program that writes into one
    takes it over and returns it.
    """

    def __init__(
        self,
        model: "Model",
        dtype: DType,
        device: jax.Device | None = None,
        profile: DeviceProfile | None = None,
    ) -> None:
        encoders = dict(model.params)
        self.head_config, self.head_on_host = fold_head(model.config, encoders.pop("head", {}))
        self.enc_dim = model.config.enc_dim
        self.outputs = model.config.outputs
        platform = platform_of(device)
        self.device = device
        self._profile = profile or get_device_profile(platform)
        self.dtype = dtype
        self._compile_encoder = Compiler(platform, dtype)
        self._compile_head = Compiler(platform, "float32" if dtype == "bfloat16" else dtype)
        self._encoders = self._make_encoders(model, cast_encoders(encoders, dtype), dtype)

    def get_encoder(self, side: int) -> tuple[Any, ...]:
        """The parameters of one encoder, as its programs take them."""
        return self._encoders[side].params

    @cached_property
    def head(self) -> Any:
        """The parameters of comparator and MLP."""
        return jax.device_put(self.head_on_host, self.device)

    def compile_encode(self, capacity: int, side: int, batch: int, length: int) -> Program:
        """The program of an encoder: (table, first row, parameters, ids) -> table, next row."""
        ids, first = jax.ShapeDtypeStruct((batch, length), np.int32), self.first_row
        table, function = (
            self._make_table_shape(capacity),
            write_into_table(self._encoders[side].encode),
        )
        return self._compile_encoder(function, table, first, *self.get_encoder(side), ids, donate=0)

    def compile_compare(self, batch: int) -> Program:
        """The head's program: (parameters, encodings, encodings) -> scores."""
        encodings = jax.ShapeDtypeStruct((batch, self.enc_dim), np.float32)
        return self._compile_head(head_fn(self.head_config), self.head, encodings, encodings)

    def compile_compare_rows(self, tables: int, capacity: int, batch: int) -> Program:
        """The same of tables: (parameters, tables, rows of each side, `[2, batch]`)."""
        rows, given = jax.ShapeDtypeStruct((2, batch), np.int32), self._make_table_shape(capacity)
        return self._compile_head(
            compare_in_tables(head_fn(self.head_config)), self.head, (given,) * tables, rows
        )

    def compile_score_pairs(self, batch: int, length: int) -> Program:
        """Encoders and head: (parameters of the encoders, of the head, ids, ids) -> scores."""
        ids, (one, two) = jax.ShapeDtypeStruct((batch, length), np.int32), self._encoders
        head = head_fn(self.head_config)

        def score(params0: Any, params1: Any, params: Any, in0: Any, in1: Any) -> Any:
            encodings = one.encode(*params0, in0), two.encode(*params1, in1)
            with jax.default_matmul_precision(self._compile_head.precision):
                return head(params, *encodings)

        return self._compile_encoder(score, one.params, two.params, self.head, ids, ids)

    def compile_take_rows(self, tables: int, capacity: int, batch: int) -> Program:
        """Encodings from tables: (tables, rows, `[batch]`) -> encodings."""
        rows, given = jax.ShapeDtypeStruct((batch,), np.int32), self._make_table_shape(capacity)
        return self._compile_encoder(take_from_tables, (given,) * tables, rows)

    def make_table(self, capacity: int) -> jax.Array:
        """A table of so many rows, float32 `[capacity, enc_dim]`."""
        zeros = np.zeros((capacity, self.enc_dim), np.float32)  # of jnp they would be compiled
        table: jax.Array = jax.device_put(zeros, self.device)
        return table

    @cached_property
    def first_row(self) -> jax.Array:
        """Zero, on the device."""
        first: jax.Array = jax.device_put(np.zeros((), np.int32), self.device)
        return first

    def _make_table_shape(self, capacity: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((capacity, self.enc_dim), np.float32)

    def _make_encoders(self, model: "Model", encoders: Params, dtype: DType) -> list[Encoder]:
        """Both encoders; tokens are folded for both or for neither, so that they share programs."""
        configs = [model.config.encoder(side) for side in (0, 1)]
        foldable = [dtype != "bfloat16" and is_foldable(config) for config in configs]
        pairs = zip(configs, foldable, strict=True)
        size = sum(count_folded_bytes(config) for config, folds in pairs if folds)
        tokens = size <= self._profile.max_folded_bytes
        tables = _TokenTables(encoders, self.device)
        made: list[Encoder] = []
        for side, config in enumerate(configs):
            name = table_name(model.config, side)
            params = encoders.get(NETWORK_NAMES[side], {})
            if foldable[side]:
                table = encoders[name]["weight"] if tokens else tables[name]
                made.append(self._fold(config, table, params, dtype, tokens=tokens))
            else:
                given = tables[name], jax.device_put(params, self.device)
                made.append(Encoder(encoder_fn(config), given))
        return made

    def _fold(
        self, config: EncoderConfig, table: Any, params: Params, dtype: DType, *, tokens: bool
    ) -> Encoder:
        folded = fold_encoder(
            config,
            table,
            params,
            tokens=tokens,
            convolution=self._profile.convolutions[dtype],
            min_fan=self._profile.winograd_min_fan,
        )
        return Encoder(encode_folded_fn(config), (jax.device_put(folded, self.device),))


class _TokenTables(dict[str, jax.Array]):
    """Token tables on the device, put there when first asked for: a tied one only once."""

    def __init__(self, encoders: Params, device: jax.Device | None) -> None:
        super().__init__()
        self._encoders = encoders
        self.device = device

    def __missing__(self, name: str) -> jax.Array:
        self[name] = jax.device_put(self._encoders[name]["weight"], self.device)
        return self[name]
