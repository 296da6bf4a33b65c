"""Hyperparameters on their way to a configuration: each value checked, all problems gathered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from o2v_jax.hyperparameters.fields import Line, Required, Unset
from o2v_jax.hyperparameters.text import show_valid


@dataclass
class Draft:
    """Values that are being checked and resolved.

    Attributes:
        lines: every hyperparameter's rule and default, in the documented order.
        given: the values that the caller gave, by name, as given.
        values: every value: given, default or resolved; `Unset.UNSET` where there is none yet.
        faults: one sentence for each name whose own value is wrong or missing.
        clashes: one sentence for each rule between sound values that is broken.
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
            self.values[name] = self._checked(name, line)

    @property
    def problems(self) -> list[str]:
        """Every problem found so far: of single values in the documented order, then clashes."""
        return [self.faults[name] for name in self.lines if name in self.faults] + self.clashes

    def sound(self, *names: str) -> bool:
        """Whether each of these has a value, and a valid one."""
        return not any(name in self.faults or self.values[name] is Unset.UNSET for name in names)

    def has(self, name: str, value: object) -> bool:
        """Whether a sound value equals this one."""
        return self.sound(name) and bool(self.values[name] == value)

    def said(self, name: str) -> str:
        """A name and its sound value as one writes them: "epochs=30"."""
        return f"{name}={show_valid(self.values[name])}"

    def miss(self, name: str) -> None:
        """Reports a value that is required and was not given."""
        self.faults[name] = self.lines[name].missing(name)

    def _checked(self, name: str, line: Line) -> object:
        if name not in self.given:
            if line.default is Required.ALWAYS:
                self.miss(name)
            return Unset.UNSET if isinstance(line.default, Required) else line.default
        stored = line.rule.stored(self.given[name])
        if stored is None:
            self.faults[name] = line.refusal(name, self.given[name])
            return self.given[name]
        return stored
