"""Nested parameters by dotted name, and what is wrong with them. Knows no JAX."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from o2v_jax.arguments import show

Params: TypeAlias = dict[str, Any]
ArrayShapes: TypeAlias = Mapping[str, tuple[int, ...]]


class ArraySpec(NamedTuple):
    """What is known of an array before its values are read.

    Attributes:
        dtype: its name, for messages.
        shape: None where it is not an array.
        is_right: whether it has the dtype that it should have.
    """

    dtype: str
    shape: tuple[int, ...] | None
    is_right: bool


def iterate_leaves(params: Params, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays of nested dicts by their dotted names.

    >>> dict(iterate_leaves({"mlp": {"fc_0": {"bias": 1, "weight": 2}}}))
    {'mlp.fc_0.bias': 1, 'mlp.fc_0.weight': 2}
    """
    for key, value in params.items():
        if isinstance(value, dict):
            yield from iterate_leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def find_mismatches(
    found: Mapping[str, ArraySpec], expected: ArrayShapes | None, wanted: str
) -> Iterator[str]:
    """A sentence for each array that is missing, unexpected, misshapen or of another dtype.

    Args:
        found: by dotted name.
        expected: the shape of each; None: unknown, only dtypes are looked at.
        wanted: what each must be, such as "a float32 array".
    """
    expected_names = found.keys() if expected is None else expected.keys()
    for name in sorted(expected_names - found.keys()):
        yield f"parameter {name!r} is missing"
    for name in sorted(found.keys() - expected_names):
        yield f"parameter {show(name)} is unexpected: the hyperparameters give no such parameter"
    for name, spec in sorted(found.items()):
        if not spec.is_right:
            yield f"parameter {show(name)} must be {wanted}, but it is {spec.dtype:.50}"
        if expected and spec.shape not in (None, expected.get(name, spec.shape)):
            yield f"parameter {name!r} must have shape {expected[name]}, but it has {spec.shape}"
