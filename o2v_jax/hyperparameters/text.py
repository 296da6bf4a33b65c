"""Values as text: how numbers and values are written, and which name was meant."""

import difflib
import math
import re
from collections.abc import Iterable
from numbers import Integral, Real

from o2v_jax.arguments import show

INTEGER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SHOWN = 60


def find_closest(value: object, names: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The first of the names most like the value, or None if none is as like as `cutoff`.

    >>> find_closest("epoch", ["epochs", "dropout"])
    'epochs'
    >>> find_closest("banana", ["epochs", "dropout"]) is None
    True
    """
    word = (value if isinstance(value, str) else show(value))[:_SHOWN].strip().lower()
    likeness = {name: difflib.SequenceMatcher(None, word, name).ratio() for name in names}
    best = max(likeness, key=likeness.__getitem__)
    return best if likeness[best] >= cutoff else None


def format_value(value: object) -> str:
    """A valid value as the text that reads back as the same value."""
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def show_valid(value: object) -> str:
    """A valid value as one writes it in a map, with an empty text made visible."""
    return format_value(value) or "''"


def parse_number(value: object) -> float | None:
    """The number that a value is or spells, integers exactly; None if there is none."""
    try:
        if isinstance(value, Integral) or (isinstance(value, str) and INTEGER.fullmatch(value)):
            return int(value)
        number = float(value) if isinstance(value, str | Real) else math.nan
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number
