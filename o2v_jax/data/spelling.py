"""Single values as texts: how tables write them, and integers that were written as floats."""

import math
import re
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

# as Python, pandas and Arrow write floats; not 1e5, which may be an id in hexadecimal
_PATTERN = r"^(?:0|-?[1-9][0-9]*)\.0$|^-?[0-9](?:\.[0-9]+)?e\+[0-9]{1,3}$"
_WHOLE = re.compile(_PATTERN, re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]+\.[0-9]|-?[0-9]e[-+][0-9]", re.ASCII)


def spell_integer(text: str) -> str:
    """The integer that a float's text spells; any other text as it is.

    >>> spell_integer("1.0"), spell_integer("1e+15"), spell_integer("1.5"), spell_integer("1.50")
    ('1', '1000000000000000', '1.5', '1.50')
    """
    if not _WHOLE.match(text):
        return text
    if text.endswith(".0"):
        return text[:-2]
    number = float(text)
    return str(int(number)) if number.is_integer() else text


def spell_scalar(value: Any) -> str | None:
    """A number or a truth value as tables write it; None for anything else.

    >>> spell_scalar(7), spell_scalar(1.5), spell_scalar(True), spell_scalar([7])
    ('7', '1.5', 'true', None)
    """
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real) and math.isfinite(value):
        return repr(float(value))
    return None


def are_whole(texts: Iterable[str]) -> bool:
    """Whether no text begins as a decimal number that is not an integer, as versions and prices do.

    >>> are_whole(["1.0", "7", "x"]), are_whole(["1.0", "1.1"]), are_whole(["1.0", "1.00"])
    (True, False, False)
    """
    return not any(_DECIMAL.match(text) and spell_integer(text) == text for text in texts)
