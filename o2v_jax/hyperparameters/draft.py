"""A draft of the hyperparameters: reads a string map, checks each value, gathers all problems."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from o2v_jax.arguments import show
from o2v_jax.errors import HyperparameterError
from o2v_jax.hyperparameters.text import find_closest, show_valid
from o2v_jax.hyperparameters.values import Line, Required, Unset


@dataclass
class Draft:
    """Values that are being checked and resolved.

    Attributes:
        lines: every hyperparameter's rule and default, in the documented order.
        given: the values that the caller gave, by name, as given.
        values: every value: given, default or resolved; `Unset.UNSET` where there is none yet.
        faults: one sentence for each name whose own value is wrong or missing.
        clashes: one sentence for each rule between valid values that is broken.
        notes: what to log about values that were changed.
    """

    lines: Mapping[str, Line]
    given: Mapping[str, object]
    values: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    clashes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, line in self.lines.items():
            self.values[name] = self._check(name, line)

    @property
    def problems(self) -> list[str]:
        """Every problem found so far: of single values in the documented order, then clashes."""
        return [self.faults[name] for name in self.lines if name in self.faults] + self.clashes

    def is_valid(self, *names: str) -> bool:
        """Whether each of these has a value, and a valid one."""
        return not any(name in self.faults or self.values[name] is Unset.UNSET for name in names)

    def has(self, name: str, value: object) -> bool:
        """Whether a value is valid and equals this one."""
        return self.is_valid(name) and bool(self.values[name] == value)

    def show(self, name: str) -> str:
        """A name and its valid value as one writes them: "epochs=30"."""
        return f"{name}={show_valid(self.values[name])}"

    def report_missing(self, name: str) -> None:
        """Reports a value that is required and was not given."""
        self.faults[name] = self.lines[name].describe_missing(name)

    def _check(self, name: str, line: Line) -> object:
        if name not in self.given:
            if line.default is Required.ALWAYS:
                self.report_missing(name)
            return Unset.UNSET if isinstance(line.default, Required) else line.default
        stored = line.rule.accept(self.given[name])
        if stored is None:
            self.faults[name] = line.describe_refusal(name, self.given[name])
            return self.given[name]
        return stored


_log = logging.getLogger("o2v_jax")

_PASSED_OVER = {"_": "the original's internal", "sagemaker_": "SageMaker's own"}
_EXPLAINED = 50  # unknown names for which the nearest valid one is looked for
_LISTED, _LONGEST = 20, 60  # names in a log line, and characters of each


def read_mapping(
    mapping: Mapping[str, object], lines: Mapping[str, Line]
) -> tuple[dict[str, Any], list[str]]:
    """The known names with typed values, and one sentence for each unknown name.

    A text may be JSON of a text, or of a list of them, as SageMaker's Python SDK writes them. One
    that spells no value of its type stays as it is, and the rule refuses it. Names that begin with
    "_" are the original's internals, those with "sagemaker_" the SDK's: left out, with a log line.

    Raises:
        HyperparameterError: this is not a map, or one that holds the map, such as the answer
            of describe-training-job.
    """
    if not isinstance(mapping, Mapping):
        problem = f"hyperparameters={show(mapping)}: must be a map of names to values"
        raise HyperparameterError([problem])
    _require_inner(mapping)
    for prefix, owner in _PASSED_OVER.items():
        _log_ignored([name for name in mapping if _has_prefix(name, prefix)], owner)
    known = {name: _read_typed(lines[name], mapping[name]) for name in mapping if name in lines}
    strange = [name for name in mapping if name not in lines and not _is_passed_over(name)]
    # looking for what was meant takes long, and no message shows more
    explained = [
        _describe_unknown(name, find_closest(name, lines)) for name in strange[:_EXPLAINED]
    ]
    return known, explained + [_describe_unknown(name, None) for name in strange[_EXPLAINED:]]


def _require_inner(mapping: Mapping[str, object]) -> None:
    for name, value in mapping.items():
        if isinstance(value, Mapping) and str(name).lower().endswith("hyperparameters"):
            problem = f"this is not a map of hyperparameters, but holds one: give its {name}"
            raise HyperparameterError([problem])


def _read_typed(line: Line, value: object) -> object:
    plain = _unquote(value.strip()) if isinstance(value, str) else value
    return line.rule.read(plain.strip()) if isinstance(plain, str) else plain


def _unquote(text: str) -> object:
    """What JSON of a text or of a list says; no valid value looks like either."""
    if not text.startswith(('"', "[")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _has_prefix(name: object, prefix: str) -> bool:
    return isinstance(name, str) and name.startswith(prefix)


def _is_passed_over(name: object) -> bool:
    return any(_has_prefix(name, prefix) for prefix in _PASSED_OVER)


def _describe_unknown(name: object, nearest: str | None) -> str:
    hint = f"; the nearest valid name is {nearest}" if nearest else ""
    return f"{show(name)} is not a hyperparameter{hint}"


def _log_ignored(names: list[str], owner: str) -> None:
    if names:
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        listed = ", ".join(name[:_LONGEST] for name in names[:_LISTED])
        _log.info("ignored %s hyperparameters %s%s", owner, listed, more)
