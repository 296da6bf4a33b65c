"""Checks of what a caller hands over: each says the argument's name and what would be right."""

import os
from collections.abc import Callable, Container, Mapping
from inspect import signature
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

from o2v_jax.errors import InputError
from o2v_jax.util import require_local

_SHOWN = 60  # characters
_ITEMS = 30  # of a sequence, in a call: as many as there may be classes


def require_integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """An argument that must be an integer (NumPy's too) in `low..high`, or from `low` on.

    Raises:
        InputError: it is something else.

    >>> require_integer("k", 3, 1)
    3
    """
    bounds = f"in {low}..{high}" if high is not None else f"of at least {low}"
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_integer or value < low or (high is not None and value > high):
        raise InputError(f"{name}={describe(value)} must be an integer {bounds}")
    return int(value)


def require_instance(name: str, value: Any, kinds: type | tuple[type, ...], text: str) -> None:
    """Checks that an argument is of one of these types, which `text` says in words.

    Raises:
        InputError: it is of another type.
    """
    if not isinstance(value, kinds):
        raise InputError(f"{name}={describe(value)} must be {text}")


def require_choice(name: str, value: Any, choices: Container[Any], text: str) -> None:
    """Checks that an argument is one of these, which `text` says in words.

    Raises:
        InputError: it is none of them.
    """
    try:
        is_one = value in choices
    except (TypeError, ValueError):  # what cannot be hashed or compared: a list, an array
        is_one = False
    if not is_one:
        raise InputError(f"{name}={describe(value)} must be {text}")


def require_path(name: str, value: Any) -> Path:
    """An argument that must be a path on this machine: a text, or a `pathlib` path.

    Raises:
        InputError: it is something else, an empty text or a URL.

    >>> require_path("directory", "a/b").name
    'b'
    """
    is_path = isinstance(value, str | PathLike) and not isinstance(os.fspath(value), bytes)
    if not is_path or value == "" or "\0" in os.fspath(value):
        raise InputError(f"{name}={describe(value)} must be a path")
    require_local(value)
    return Path(value)


def describe_call(name: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """A call with the arguments that differ from their defaults, for people to read.

    Plain values and what holds them are written as they are, a table or an array as `<DataFrame>`.

    >>> import json
    >>> describe_call("json.dumps", json.dumps, {"obj": object(), "indent": 2, "skipkeys": False})
    'json.dumps(obj=<object>, indent=2)'
    """
    defaults = {each.name: each.default for each in signature(function).parameters.values()}
    given = {key: value for key, value in arguments.items() if value is not defaults[key]}
    return f"{name}({', '.join(f'{key}={_spell(value)}' for key, value in given.items())})"


def _spell(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, PathLike):
        return repr(os.fspath(value))
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_spell(item)}' for key, item in value.items())}}}"
    if isinstance(value, tuple | list) and len(value) <= _ITEMS:
        return f"({', '.join(map(_spell, value))})"
    return f"<{type(value).__name__}>"


def describe(value: Any) -> str:
    """A value as a short text for a message, with its type where that is not plain; never fails.

    >>> describe("in0"), describe(5), describe([1, 2])
    ("'in0'", '5', 'list [1, 2]')
    """
    if isinstance(value, Mapping):
        return f"{type(value).__name__} of {len(value)} keys"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{type(value).__name__} of shape {shape}"
    is_plain = value is None or isinstance(value, bool | int | float | str)
    return show(value) if is_plain else f"{type(value).__name__} {show(value)}".strip()


def show(value: object) -> str:
    """Any value as a short text for a message; never fails."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python refuses to print integers of thousands of digits
        text = "a very large number"
    except RecursionError:
        text = "a deeply nested value"
    except Exception:  # noqa: BLE001 - a message must come, whatever the value's own repr does
        text = ""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
