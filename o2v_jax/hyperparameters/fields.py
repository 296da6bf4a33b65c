"""How a line of the table is declared: a dataclass field that carries its rule and its default."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_args

from o2v_jax.arguments import show
from o2v_jax.hyperparameters.values import Choice, Choices, FileName, Flag, Integer, Number, Rule
from o2v_jax.hyperparameters.text import show_valid


class Unset(Enum):
    """Stands for a value that was not given, which is not the same as its default being given."""

    UNSET = "not given"


class Required(Enum):
    """Stands for the default of a hyperparameter that has none."""

    ALWAYS = "required"
    UNLESS_COPIED = "required unless enc1_network=enc0"


@dataclass(frozen=True)
class Line:
    """The rule and the default of one hyperparameter."""

    rule: Rule
    default: object

    @property
    def default_text(self) -> str:
        """The default as the text to give for it, or in which cases there is none."""
        return (
            self.default.value if isinstance(self.default, Required) else show_valid(self.default)
        )

    def missing(self, name: str) -> str:
        """The sentence for a required value that was not given."""
        return f"{name}: is {self.default_text}, but it is missing; give it {self.rule.text}"

    def refusal(self, name: str, value: object) -> str:
        """The sentence for a value that the rule refuses."""
        return f"{name}={show(value)}: must be {self.rule.text}{self._hint(value)}"

    def _hint(self, value: object) -> str:
        nearest = self.rule.nearest(value)
        if nearest is not None:
            return f"; the nearest valid value is {show_valid(nearest)}"
        return "" if isinstance(self.default, Required) else f"; the default is {self.default_text}"


def lines_of(table: Any) -> Mapping[str, Line]:
    """The lines of a dataclass whose fields are declared by this module, in order, by name."""
    return {field.name: field.metadata["line"] for field in dataclasses.fields(table)}


def integer(low: int, high: int | None, default: int | Required) -> Any:
    """Declares an integer in `low..high`; without `high`, any from `low` on."""
    return _field(Integer(low, high), default)


def auto_or_integer(low: int, high: int) -> Any:
    """Declares an integer in `low..high`, by default the word "auto"."""
    return _field(Integer(low, high, "auto"), "auto")


def number(low: float, high: float, default: float) -> Any:
    """Declares a finite real number in `low..high`."""
    return _field(Number(low, high), default)


def choice(names: Any, default: str) -> Any:
    """Declares one of the names of a `Literal`."""
    return _field(Choice(get_args(names)), default)


def choices(names: Any) -> Any:
    """Declares some of the names of a `Literal` in any order, by default all in its order."""
    return _field(Choices(get_args(names)), get_args(names))


def flag(*, default: bool) -> Any:
    """Declares True or False."""
    return _field(Flag(), default)


def file_name() -> Any:
    """Declares the name of a file in the auxiliary channel, by default none."""
    return _field(FileName(), "")


def _field(rule: Rule, default: object) -> Any:
    return dataclasses.field(default=Unset.UNSET, metadata={"line": Line(rule, default)})
