"""Parameters as callers hold them: which maps are taken, and whether they fit a configuration."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import jax.numpy as jnp
from flax import nnx

from o2v_jax.errors import InputError, shorten

Params: TypeAlias = dict[str, Any]
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]


def to_plain(params: Any) -> Params:
    """Nested parameters as plain dicts, the arrays themselves untouched.

    Args:
        params: nested maps of arrays: dicts, Flax's FrozenDict, or an `nnx.State`.

    Raises:
        InputError: this is no map, or a key in it is no text.
    """
    if not isinstance(params, Mapping):
        kind = type(params).__name__
        raise InputError(f"params must be a nested map of arrays (a dict, say), but it is a {kind}")
    return {_text(key): _plain_part(value) for key, value in params.items()}


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise InputError(f"the keys of params must be texts, but {key!r:.50} is one of them")
    return key


def _plain_part(value: Any) -> Any:
    if isinstance(value, nnx.Variable):
        return value.get_value()
    return to_plain(value) if isinstance(value, Mapping) else value


def require_fitting(params: Params, expected: Shapes, source: str, *, float32: bool) -> None:
    """Checks names, shapes and dtypes of parameters; nothing of their values is read.

    Args:
        params: plain nested dicts of arrays; traced ones do.
        expected: the shape of each, by its dotted name.
        source: what gives these shapes, for the message.
        float32: whether they must be so, or may hold any floating-point numbers.

    Raises:
        InputError: says of each that is missing, unexpected or another what it should be.
    """
    problems = list(_problems(dict(_leaves(params, "")), expected, float32=float32))
    if problems:
        raise InputError(f"the parameters do not fit {source}: " + "; ".join(shorten(problems)))


def _leaves(params: Params, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in params.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _problems(found: Mapping[str, Any], expected: Shapes, *, float32: bool) -> Iterator[str]:
    wanted = "float32" if float32 else "floating-point"
    for name in sorted(expected.keys() - found.keys()):
        yield f"parameter {name!r} is missing"
    for name in sorted(found.keys() - expected.keys()):
        yield f"parameter {name!r} is unexpected: the hyperparameters give no such parameter"
    for name in sorted(found.keys() & expected.keys()):
        array, dtype = found[name], getattr(found[name], "dtype", None)
        if not _is_float(dtype, float32=float32):
            kind = type(array).__name__ if dtype is None else dtype
            yield f"parameter {name!r} must be a {wanted} array, but it is {kind}"
        elif tuple(array.shape) != expected[name]:
            yield f"parameter {name!r} must have shape {expected[name]}, but it has {array.shape}"


def _is_float(dtype: Any, *, float32: bool) -> bool:
    if dtype is None:
        return False
    return bool(dtype == jnp.float32 if float32 else jnp.issubdtype(dtype, jnp.floating))
