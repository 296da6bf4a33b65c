"""params.safetensors: the parameters under their dotted names, and every rule of it."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from o2v_jax.checkpoint.model import PARAMS
from o2v_jax.checkpoint.problems import Problems
from o2v_jax.hyperparameters import Hyperparameters

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]


class Spec(NamedTuple):
    """An array before it is read."""

    dtype: str
    shape: tuple[int, ...]


_FLOAT32 = "F32"  # as safetensors files call it
ALIGNMENT = 64  # bytes; what XLA's CPU device asks of memory that it shares
AT_A_TIME = 1 << 24  # bytes


def expected_shapes(config: Hyperparameters) -> Shapes:
    """The shapes that a model of this configuration has, by dotted name."""
    from o2v_jax.model import parameter_shapes  # noqa: PLC0415  its import takes a second

    return parameter_shapes(config)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path, expected: Shapes | None, problems: Problems) -> Arrays:
    """Reads the arrays; what is wrong with the file or with them goes to `problems`.

    Args:
        path: the file.
        expected: the shapes to check against; None: unknown, check the rest.
        problems: is added to.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  no dict
            specs = {n: Spec(s.get_dtype(), tuple(s.get_shape())) for n, s in slices.items()}
        problems.extend(mismatches(specs, expected))
        arrays = {n: _in_memory(path, n, s) for n, s in specs.items() if s.dtype == _FLOAT32}
    except SafetensorError as error:
        problems.append(f"{PARAMS} is truncated or malformed: {error}")
        return {}
    problems.extend(not_finite(arrays))
    return arrays


def _in_memory(path: Path, name: str, spec: Spec) -> npt.NDArray[np.float32]:
    """A float32 array in a place from which JAX's CPU device uses it without a copy.

    It is read a few MB at a time and the file closed after each, which gives its mapped pages back:
    so memory holds a large table once.
    """
    out = _aligned(spec.shape)
    for rows in _row_slices(out):
        with safe_open(path, framework="numpy") as file:
            out[rows] = file.get_slice(name)[rows]
    return out


def _aligned(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """An uninitialised array that begins at a multiple of `ALIGNMENT` bytes."""
    size = 4 * math.prod(shape)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(np.float32).reshape(shape)


def _row_slices(array: npt.NDArray[Any]) -> Iterator[slice]:
    """Slices of the first axis that hold about `AT_A_TIME` bytes each."""
    step = max(1, AT_A_TIME * len(array) // max(1, array.nbytes))
    starts = range(0, len(array), step)
    return (slice(start, min(start + step, len(array))) for start in starts)


def check(arrays: Arrays, expected: Shapes) -> Iterator[str]:
    """What would be wrong with these arrays in a file, a sentence each."""
    yield from mismatches({name: _spec(array) for name, array in arrays.items()}, expected)
    yield from not_finite({n: a for n, a in arrays.items() if a.dtype == np.float32})


def mismatches(found: Mapping[str, Spec], expected: Shapes | None) -> Iterator[str]:
    """A sentence for each array that is missing, unexpected, misshapen or not float32."""
    expected_names = found.keys() if expected is None else expected.keys()
    for name in sorted(expected_names - found.keys()):
        yield f"parameter {name!r} is missing"
    for name in sorted(found.keys() - expected_names):
        yield f"parameter {name!r} is unexpected: the hyperparameters give no such parameter"
    for name, spec in sorted(found.items()):
        if spec.dtype != _FLOAT32:
            yield f"parameter {name!r} must be float32 (F32), but it is {spec.dtype}"
        if expected and spec.shape != expected.get(name, spec.shape):
            yield f"parameter {name!r} must have shape {expected[name]}, but it has {spec.shape}"


def not_finite(arrays: Arrays) -> Iterator[str]:
    """A sentence for each array with a NaN or an infinity in it."""
    for name, array in sorted(arrays.items()):
        finite = sum(np.count_nonzero(np.isfinite(array[rows])) for rows in _row_slices(array))
        wrong = array.size - finite
        if wrong:
            yield f"parameter {name!r} has {wrong} of {array.size} values that are not finite"


def _spec(array: npt.NDArray[Any]) -> Spec:
    return Spec(_FLOAT32 if array.dtype == np.float32 else array.dtype.name, array.shape)
