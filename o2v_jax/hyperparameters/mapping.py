"""Reading the string-to-string map in which hyperparameters arrive."""

import logging
from collections.abc import Mapping
from typing import Any

from o2v_jax.errors import HyperparameterError
from o2v_jax.hyperparameters.fields import Line
from o2v_jax.hyperparameters.text import closest, show

_log = logging.getLogger("o2v_jax")


def read_mapping(
    mapping: Mapping[str, object], lines: Mapping[str, Line]
) -> tuple[dict[str, Any], list[str]]:
    """The known names with typed values, and one sentence for each unknown name.

    A text that spells no value of its type stays as it is, for the rule to refuse. Names that
    begin with "_" are the original's internals: left out, with one log line.

    Raises:
        HyperparameterError: this is no map at all.
    """
    if not isinstance(mapping, Mapping):
        problem = f"hyperparameters={show(mapping)}: must be a map of names to values"
        raise HyperparameterError([problem])
    _log_internals([name for name in mapping if _internal(name)])
    known = {name: _typed(lines[name], mapping[name]) for name in mapping if name in lines}
    strange = [name for name in mapping if name not in lines and not _internal(name)]
    return known, [_unknown(name, lines) for name in strange]


def _typed(line: Line, value: object) -> object:
    return line.rule.read(value.strip()) if isinstance(value, str) else value


def _internal(name: object) -> bool:
    return isinstance(name, str) and name.startswith("_")


def _unknown(name: object, lines: Mapping[str, Line]) -> str:
    nearest = closest(name, lines, cutoff=0.0)
    return f"{show(name)} is no hyperparameter; the nearest valid name is {nearest}"


def _log_internals(names: list[str]) -> None:
    if names:
        _log.info("ignored the original's internal hyperparameters %s", ", ".join(names))
