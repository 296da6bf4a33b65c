"""The kinds of values that hyperparameters take: how each is read, checked and corrected."""
# ruff: noqa: D102 - Rule describes the methods that its kinds share

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral, Real

from o2v_jax.hyperparameters.text import INTEGER, NUMBER, closest, number_in, write

_SPELLINGS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(
    ("false", "no", "off", "0"), False
)


class Rule(ABC):
    """What values a hyperparameter takes."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The rule in words, to stand after "must be"."""

    def read(self, text: str) -> object:
        """The typed value of a text without blanks around it, or the text itself if it has none."""
        return text

    @abstractmethod
    def stored(self, value: object) -> object | None:
        """The typed value in the form that is kept, or None if the rule refuses it."""

    @abstractmethod
    def nearest(self, value: object) -> object | None:
        """The valid value nearest to a refused one, or None if nothing is near."""


@dataclass(frozen=True)
class Integer(Rule):
    """An integer in `low..high`, or one `word` that stands for an integer."""

    low: int
    high: int | None
    word: str | None = None

    @property
    def text(self) -> str:
        limits = f"of at least {self.low}" if self.high is None else f"in {self.low}..{self.high}"
        return f"{self.word} or an integer {limits}" if self.word else f"an integer {limits}"

    def read(self, text: str) -> object:
        number = number_in(text) if INTEGER.fullmatch(text) else None
        return text if number is None else number

    def stored(self, value: object) -> object | None:
        if isinstance(value, str):
            return value if value == self.word else None
        if not isinstance(value, Integral) or isinstance(value, bool):
            return None
        return int(value) if int(value) == self._clamped(int(value)) else None

    def nearest(self, value: object) -> object | None:
        number = number_in(value)
        if number is None:
            return closest(value, [self.word]) if self.word else None
        clamped = self._clamped(number)
        return None if clamped == math.inf else round(clamped)

    def _clamped(self, number: float) -> float:
        return max(number, self.low) if self.high is None else min(max(number, self.low), self.high)


@dataclass(frozen=True)
class Number(Rule):
    """A finite real number in `low..high`."""

    low: float
    high: float

    @property
    def text(self) -> str:
        return f"a number in {write(self.low)}..{write(self.high)}"

    def read(self, text: str) -> object:
        return float(text) if NUMBER.fullmatch(text) else text

    def stored(self, value: object) -> object | None:
        if not isinstance(value, Real) or isinstance(value, bool):
            return None
        number = number_in(value)
        return None if number is None or not self.low <= number <= self.high else float(number)

    def nearest(self, value: object) -> object | None:
        number = number_in(value)
        return None if number is None else float(min(max(number, self.low), self.high))


@dataclass(frozen=True)
class Choice(Rule):
    """One of a few names."""

    names: tuple[str, ...]

    @property
    def text(self) -> str:
        return "one of " + ", ".join(self.names)

    def stored(self, value: object) -> object | None:
        return value if isinstance(value, str) and value in self.names else None

    def nearest(self, value: object) -> object | None:
        return closest(value, self.names)


@dataclass(frozen=True)
class Choices(Rule):
    """Some of a few names, each at most once, in any order; kept as a tuple."""

    names: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"a comma-separated list of {', '.join(self.names)}, each at most once, not empty"

    def stored(self, value: object) -> object | None:
        parts = _parts(value)
        valid = bool(parts) and len(set(parts)) == len(parts) and set(parts) <= set(self.names)
        return parts if valid else None

    def nearest(self, value: object) -> object | None:
        near = [closest(part, self.names) for part in _parts(value)]
        return tuple(dict.fromkeys(name for name in near if name)) or None


@dataclass(frozen=True)
class Flag(Rule):
    """True or False."""

    @property
    def text(self) -> str:
        return "True or False"

    def read(self, text: str) -> object:
        return {"true": True, "false": False}.get(text.lower(), text)

    def stored(self, value: object) -> object | None:
        return value if isinstance(value, bool) else None

    def nearest(self, value: object) -> object | None:
        return _SPELLINGS.get(closest(value, _SPELLINGS) or "")


@dataclass(frozen=True)
class FileName(Rule):
    """The name of a file in the auxiliary channel, or nothing."""

    @property
    def text(self) -> str:
        return "empty or a file name of letters, digits, '.' and '_' only"

    def stored(self, value: object) -> object | None:
        if not isinstance(value, str) or value in {".", ".."}:
            return None
        return value if re.fullmatch(r"[A-Za-z0-9._]*", value) else None

    def nearest(self, value: object) -> object | None:
        name = value.rpartition("/")[2] if isinstance(value, str) else ""
        return self.stored(re.sub(r"[^A-Za-z0-9._]", "_", name)) or None


def _parts(value: object) -> tuple[str, ...]:
    """The items of a comma-separated text or of a list of names; none if it is neither."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        return ()
    return tuple(item.strip() for item in items)
