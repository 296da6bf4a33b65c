"""Parameters as callers hold them: which maps are taken, and whether they fit a configuration."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx

from o2v_jax.data.nested import ArrayShapes, ArraySpec, Params, find_mismatches, iterate_leaves
from o2v_jax.errors import InputError, shorten


def to_plain(params: Any) -> Params:
    """Nested parameters as plain dicts, the arrays themselves untouched.

    Args:
        params: nested maps of arrays: dicts, Flax's FrozenDict, or an `nnx.State`.

    Raises:
        InputError: this is not a map, or a key in it is not a text.
    """
    if not isinstance(params, Mapping):
        kind = type(params).__name__
        raise InputError(f"params must be a nested map of arrays (a dict, say), but it is a {kind}")
    return {_require_text(key): _convert(value) for key, value in params.items()}


def _require_text(key: Any) -> str:
    if not isinstance(key, str):
        raise InputError(f"the keys of params must be texts, but {key!r:.50} is one of them")
    return key


def _convert(value: Any) -> Any:
    if isinstance(value, nnx.Variable):
        return value.get_value()
    return to_plain(value) if isinstance(value, Mapping) else value


def require_fitting(params: Params, expected: ArrayShapes, source: str, *, float32: bool) -> None:
    """Checks names, shapes and dtypes of parameters; nothing of their values is read.

    Args:
        params: plain nested dicts of arrays, which may be traced.
        expected: the shape of each, by its dotted name.
        source: what gives these shapes, for the message.
        float32: whether they must be float32; otherwise any floating-point type is right.

    Raises:
        InputError: names each that is missing, unexpected or wrong, and what it should be.
    """
    wanted = "a float32 array" if float32 else "a floating-point array"
    specs = {name: _describe_leaf(leaf, float32=float32) for name, leaf in iterate_leaves(params)}
    problems = list(find_mismatches(specs, expected, wanted))
    if problems:
        raise InputError(f"the parameters do not fit {source}: " + "; ".join(shorten(problems)))


def _describe_leaf(leaf: Any, *, float32: bool) -> ArraySpec:
    dtype = getattr(leaf, "dtype", None)
    if dtype is None:
        return ArraySpec(type(leaf).__name__, None, is_right=False)
    is_right = dtype == jnp.float32 if float32 else jnp.issubdtype(dtype, jnp.floating)
    return ArraySpec(str(dtype), tuple(leaf.shape), bool(is_right))
