"""Lengths of the training sequences, as config.json keeps them: only those that occur."""

from typing import Any

import numpy as np

from o2v_jax.arguments import show
from o2v_jax.checkpoint.model import Histogram
from o2v_jax.data.ragged import Index
from o2v_jax.errors import InputError

LONGEST = 9_999_999  # a length read from a file becomes the size of an array: it needs a bound
_SIDES = ("in0", "in1")


def histogram_to_json(histogram: Histogram) -> dict[str, dict[str, int]]:
    """`{"in0": {"length": count, ...}, "in1": {...}}`."""
    return {
        side: {str(length): int(counts[length]) for length in np.flatnonzero(counts)}
        for side, counts in zip(_SIDES, histogram, strict=True)
    }


def histogram_from_json(value: Any) -> Histogram:
    """The inverse of `histogram_to_json`.

    Raises:
        InputError: a side is missing or something in it is not a length with its count.
    """
    if not isinstance(value, dict) or set(value) != set(_SIDES):
        raise InputError('config.json: length_histogram must be {"in0": {...}, "in1": {...}}')
    return _counts("in0", value["in0"]), _counts("in1", value["in1"])


def _counts(side: str, value: Any) -> Index:
    entries: list[tuple[Any, Any]] = (
        [*value.items()] if isinstance(value, dict) else [(value, None)]
    )
    for length, count in entries:
        if not (_is_length(length) and type(count) is int and 0 <= count < 2**63):
            raise InputError(
                f"config.json: length_histogram.{side} must map lengths of 0..{LONGEST} to counts, "
                f"but it holds {show(length)}: {show(count)}"
            )
    counts = np.zeros(max(map(int, value), default=-1) + 1, np.int64)
    for length, count in entries:
        counts[int(length)] = count
    return counts


def _is_length(text: Any) -> bool:
    return (
        isinstance(text, str)
        and text.isascii()
        and text.isdigit()
        and len(text) <= len(str(LONGEST))
    )
