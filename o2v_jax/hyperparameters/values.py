"""The values that a hyperparameter takes, and how a line of the table is declared."""

# ruff: noqa: D102 - Rule describes the methods that its kinds share

import dataclasses
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from numbers import Integral, Real
from typing import Any, get_args

from o2v_jax.arguments import show
from o2v_jax.hyperparameters.text import (
    INTEGER,
    NUMBER,
    find_closest,
    format_value,
    parse_number,
    show_valid,
)

_SPELLINGS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(
    ("false", "no", "off", "0"), False
)


class Rule(ABC):
    """What values a hyperparameter takes."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The rule in words, to follow "must be"."""

    def read(self, text: str) -> object:
        """The typed value of a text without blanks around it, or the text itself if it has none."""
        return text

    @abstractmethod
    def accept(self, value: object) -> object | None:
        """The typed value in the form that is kept, or None if the rule refuses it."""

    @abstractmethod
    def find_nearest(self, value: object) -> object | None:
        """The valid value nearest to a refused one, or None if nothing is near."""


@dataclass(frozen=True)
class Integer(Rule):
    """An integer in `low..high`, or one `word` for an integer."""

    low: int
    high: int | None
    word: str | None = None

    @property
    def text(self) -> str:
        limits = f"of at least {self.low}" if self.high is None else f"in {self.low}..{self.high}"
        return f"{self.word} or an integer {limits}" if self.word else f"an integer {limits}"

    def read(self, text: str) -> object:
        number = parse_number(text) if INTEGER.fullmatch(text) else None
        return text if number is None else number

    def accept(self, value: object) -> object | None:
        if isinstance(value, str):
            return value if value == self.word else None
        if not isinstance(value, Integral) or isinstance(value, bool):
            return None
        return int(value) if int(value) == self._clamp(int(value)) else None

    def find_nearest(self, value: object) -> object | None:
        number = parse_number(value)
        if number is None:
            return find_closest(value, [self.word]) if self.word else None
        clamped = self._clamp(number)
        return None if clamped == math.inf else round(clamped)

    def _clamp(self, number: float) -> float:
        return max(number, self.low) if self.high is None else min(max(number, self.low), self.high)


@dataclass(frozen=True)
class Number(Rule):
    """A finite real number in `low..high`."""

    low: float
    high: float

    @property
    def text(self) -> str:
        return f"a number in {format_value(self.low)}..{format_value(self.high)}"

    def read(self, text: str) -> object:
        return float(text) if NUMBER.fullmatch(text) else text

    def accept(self, value: object) -> object | None:
        if not isinstance(value, Real) or isinstance(value, bool):
            return None
        number = parse_number(value)
        return None if number is None or not self.low <= number <= self.high else float(number)

    def find_nearest(self, value: object) -> object | None:
        number = parse_number(value)
        return None if number is None else float(min(max(number, self.low), self.high))


@dataclass(frozen=True)
class Choice(Rule):
    """One of a few names."""

    names: tuple[str, ...]

    @property
    def text(self) -> str:
        return "one of " + ", ".join(self.names)

    def accept(self, value: object) -> object | None:
        return value if isinstance(value, str) and value in self.names else None

    def find_nearest(self, value: object) -> object | None:
        return find_closest(value, self.names)


@dataclass(frozen=True)
class Choices(Rule):
    """Some of a few names, each at most once, in any order; kept as a tuple."""

    names: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"a comma-separated list of {', '.join(self.names)}, each at most once, not empty"

    def accept(self, value: object) -> object | None:
        parts = _split_names(value)
        valid = bool(parts) and len(set(parts)) == len(parts) and set(parts) <= set(self.names)
        return parts if valid else None

    def find_nearest(self, value: object) -> object | None:
        near = [find_closest(part, self.names) for part in _split_names(value)]
        return tuple(dict.fromkeys(name for name in near if name)) or None


@dataclass(frozen=True)
class Flag(Rule):
    """True or False."""

    @property
    def text(self) -> str:
        return "True or False"

    def read(self, text: str) -> object:
        return {"true": True, "false": False}.get(text.lower(), text)

    def accept(self, value: object) -> object | None:
        return value if isinstance(value, bool) else None

    def find_nearest(self, value: object) -> object | None:
        return _SPELLINGS.get(find_closest(value, _SPELLINGS) or "")


@dataclass(frozen=True)
class FileName(Rule):
    """The name of a file in the auxiliary channel, or nothing."""

    @property
    def text(self) -> str:
        return "empty or a file name of letters, digits, '.' and '_' only"

    def accept(self, value: object) -> object | None:
        if not isinstance(value, str) or value in {".", ".."}:
            return None
        return value if re.fullmatch(r"[A-Za-z0-9._]*", value) else None

    def find_nearest(self, value: object) -> object | None:
        name = value.rpartition("/")[2] if isinstance(value, str) else ""
        return self.accept(re.sub(r"[^A-Za-z0-9._]", "_", name)) or None


def _split_names(value: object) -> tuple[str, ...]:
    """The items of a comma-separated text or of a list of names; none if it is neither."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        return ()
    return tuple(item.strip() for item in items)


class Unset(Enum):
    """Marks a value that was not given, which differs from its default being given."""

    UNSET = "not given"


class Required(Enum):
    """Marks a hyperparameter that has no default."""

    ALWAYS = "required"
    UNLESS_COPIED = "required unless enc1_network=enc0"


@dataclass(frozen=True)
class Line:
    """The rule and the default of one hyperparameter."""

    rule: Rule
    default: object

    @property
    def default_text(self) -> str:
        """The default as text, or when a value is required."""
        return (
            self.default.value if isinstance(self.default, Required) else show_valid(self.default)
        )

    def describe_missing(self, name: str) -> str:
        """The sentence for a required value that was not given."""
        return f"{name}: is {self.default_text}, but it is missing; give it {self.rule.text}"

    def describe_refusal(self, name: str, value: object) -> str:
        """The sentence for a value that the rule refuses."""
        return f"{name}={show(value)}: must be {self.rule.text}{self._suggest(value)}"

    def _suggest(self, value: object) -> str:
        nearest = self.rule.find_nearest(value)
        if nearest is not None:
            return f"; the nearest valid value is {show_valid(nearest)}"
        return "" if isinstance(self.default, Required) else f"; the default is {self.default_text}"


def lines_of(table: Any) -> Mapping[str, Line]:
    """The lines of a dataclass's fields that are declared by this module, in order, by name."""
    fields = dataclasses.fields(table)
    return {field.name: field.metadata["line"] for field in fields if "line" in field.metadata}


def integer(low: int, high: int | None, default: int | Required) -> Any:
    """Declares an integer in `low..high`; without `high`, any from `low` on."""
    return _declare(Integer(low, high), default)


def auto_or_integer(low: int, high: int) -> Any:
    """Declares an integer in `low..high`, by default the word "auto"."""
    return _declare(Integer(low, high, "auto"), "auto")


def number(low: float, high: float, default: float) -> Any:
    """Declares a finite real number in `low..high`."""
    return _declare(Number(low, high), default)


def choice(names: Any, default: str) -> Any:
    """Declares one of the names of a `Literal`."""
    return _declare(Choice(get_args(names)), default)


def choices(names: Any) -> Any:
    """Declares some of the names of a `Literal` in any order, by default all in its order."""
    return _declare(Choices(get_args(names)), get_args(names))


def flag(*, default: bool) -> Any:
    """Declares True or False."""
    return _declare(Flag(), default)


def file_name() -> Any:
    """Declares the name of a file in the auxiliary channel, by default none."""
    return _declare(FileName(), "")


def _declare(rule: Rule, default: object) -> Any:
    return dataclasses.field(default=Unset.UNSET, metadata={"line": Line(rule, default)})
