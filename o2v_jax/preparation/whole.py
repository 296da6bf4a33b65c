"""Integers that were floats for a while, as pandas makes them of a column with missing values."""

import re
from collections.abc import Iterable

# as Python, pandas and Arrow write floats; not 1e5, which may be an id in hexadecimal
_PATTERN = r"^(?:0|-?[1-9][0-9]*)\.0$|^-?[0-9](?:\.[0-9]+)?e\+[0-9]{1,3}$"
_WHOLE = re.compile(_PATTERN, re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]+\.[0-9]|-?[0-9]e[-+][0-9]", re.ASCII)


def whole(text: str) -> str:
    """The integer that a float's text spells; any other text as it is.

    >>> whole("1.0"), whole("1e+15"), whole("1.5"), whole("1.50")
    ('1', '1000000000000000', '1.5', '1.50')
    """
    if not _WHOLE.match(text):
        return text
    if text.endswith(".0"):
        return text[:-2]
    number = float(text)
    return str(int(number)) if number.is_integer() else text


def are_whole(texts: Iterable[str]) -> bool:
    """Whether no text begins as a decimal number that is no integer, as versions and prices do.

    >>> are_whole(["1.0", "7", "x"]), are_whole(["1.0", "1.1"]), are_whole(["1.0", "1.00"])
    (True, False, False)
    """
    return not any(_DECIMAL.match(text) and whole(text) == text for text in texts)
