"""Filters: the JSONPath of batch transform, and what it makes of a JSON value.

As in the SageMaker developer guide ("Associate Prediction Results with Input Records"): a path to
one place gives what is there, names in brackets at the end (`$['id','SageMakerOutput']`) give
an object of these, and anything else gives a list.
"""

import re
from typing import Any

import jsonpath
from jsonpath.segments import JSONPathChildSegment
from jsonpath.selectors import NameSelector

from o2v_jax.errors import InputError

ALL = "$"


class Filter:
    """A compiled JSONPath.

    Raises:
        InputError: the text is not a JSONPath.

    >>> Filter("$['b','a']")({"a": 1, "b": [2], "c": 3})
    {'b': [2], 'a': 1}
    >>> Filter("$.b[0]")({"b": [2]}), Filter("$.b[0:]")({"b": [2]})
    (2, [2])
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if not text.startswith(ALL):
            raise InputError(f"{text!r} is not a JSONPath: expected one such as $.features")
        try:
            # the guide has $.field1.['child1','child2'], which RFC 9535 writes without the dot
            path = jsonpath.compile(re.sub(r"(?<!\.)\.\[", "[", text))
        except jsonpath.JSONPathError as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{text!r} is not a JSONPath ({reason})") from error
        if not isinstance(path, jsonpath.JSONPath):
            raise InputError(f"{text!r} is more than one JSONPath")
        self._path = path
        self._names = _find_final_names(self._path)

    def __call__(self, value: Any) -> Any:
        """What the path selects.

        Raises:
            InputError: there is nothing at its path.
        """
        found = self._path.finditer(value)
        if self._names:
            parts = {match.parts[-1]: match.obj for match in found}
            missing = [name for name in self._names if name not in parts]
            if missing:
                raise InputError(f"{self.text} finds no {missing[0]!r}")
            return {name: parts[name] for name in self._names}
        values = [match.obj for match in found]
        if not self._path.singular_query():
            return values
        if not values:
            raise InputError(f"{self.text} finds nothing")
        return values[0]


def parse_filter(text: str) -> Filter | None:
    """The filter, or None for `$`, which changes nothing."""
    return None if text.strip() == ALL else Filter(text.strip())


def _find_final_names(path: jsonpath.JSONPath) -> list[str]:
    """Several names, if these are the last step and all before it is one place."""
    *before, last = path.segments or (None,)
    single = all(len(segment.selectors) == 1 for segment in before)
    several = last is not None and len(last.selectors) > 1
    if not (single and several and isinstance(last, JSONPathChildSegment)):
        return []
    names = [s.name for s in last.selectors if isinstance(s, NameSelector)]
    return names if len(names) == len(last.selectors) else []
