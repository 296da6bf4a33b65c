"""params.safetensors: the parameters under their dotted names, and every rule of it."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.checkpoint import header
from o2v_jax.checkpoint.config_file import ConfigProblems
from o2v_jax.checkpoint.header import Header, MalformedError, Tensor
from o2v_jax.checkpoint.model import PARAMS
from o2v_jax.data.nested import ArrayShapes, ArraySpec, find_mismatches
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.util import HashingReader

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
Digests: TypeAlias = Mapping[str, str]


class Contents(NamedTuple):
    """What was read of a file.

    Attributes:
        arrays: those parameters that are as they should be.
        digests: the SHA-256 of each of the model's other files, by name; None: the file does not
            say, as those of early releases.
    """

    arrays: Arrays
    digests: Digests | None = None


_FLOAT32 = "F32"  # as safetensors files call it
_WANTED = "float32 (F32)"
_ITEM_BYTES = 4  # of a float32
_DIGESTS = "files_sha256"  # the metadata that holds them, as JSON: metadata have no order
ALIGNMENT = 64  # bytes; what XLA's CPU device asks of memory that it shares
AT_A_TIME = 1 << 24  # bytes


def find_expected_shapes(config: Hyperparameters) -> ArrayShapes:
    """The shapes that a model of this configuration has, by dotted name."""
    from o2v_jax.model import parameter_shapes  # noqa: PLC0415  its import takes a second

    return parameter_shapes(config)


def make_metadata(digests: Digests) -> dict[str, str]:
    """What the file holds beside the arrays: digests, so that its own digest covers all files."""
    return {_DIGESTS: json.dumps(digests, sort_keys=True)}


def read(
    file: BinaryIO, expected: ArrayShapes | None, checksum: str | None, problems: ConfigProblems
) -> Contents:
    """Reads the arrays; what is wrong with the file or with them goes to `problems`.

    The checksum covers the very bytes that become arrays; each is read and held only once. If the
    header of a file of more than a few MB is wrong, nothing else of the file is read.

    Args:
        file: the file, at its beginning.
        expected: the shapes to check against; None: unknown, check the rest.
        checksum: the SHA-256 that the file must have; None: unknown.
        problems: is added to.
    """
    source = _Source(file)
    arrays: Arrays = {}
    digests = None
    wrong = ConfigProblems()
    try:
        found = _read_header(source)
        specs = {
            name: ArraySpec(tensor.dtype, tensor.shape, tensor.dtype == _FLOAT32)
            for name, tensor in found.tensors.items()
        }
        wrong += find_mismatches(specs, expected, _WANTED)
        digests = _read_digests(found)
        if source.is_small or not (wrong or expected is None):
            arrays = _read_arrays(source, found, expected or {})
    except MalformedError as error:
        wrong.append(f"{PARAMS} is truncated or malformed: {error}")
    if checksum is not None and not source.matches(checksum):
        problems.append(f"{PARAMS} is not the file that was written: its SHA-256 differs")
    problems += [*wrong, *find_not_finite(arrays)]
    return Contents(arrays, digests)


def _read_header(source: "_Source") -> Header:
    size = header.parse_length(source.read(header.LENGTH_BYTES))
    text = source.read(size)
    if len(text) < size:
        raise MalformedError(f"its header takes {size:,} bytes, but {len(text):,} are there")
    return header.parse(text, source.size - size - header.LENGTH_BYTES)


def _read_digests(found: Header) -> Digests | None:
    if _DIGESTS not in found.metadata:
        return None
    try:
        digests = json.loads(found.metadata[_DIGESTS])
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"its {_DIGESTS} is not valid JSON") from error
    if not isinstance(digests, dict):
        raise MalformedError(f"its {_DIGESTS} is not a JSON object")
    return digests


def _read_arrays(source: "_Source", found: Header, expected: ArrayShapes) -> Arrays:
    """The arrays that are as they should be, read in the order of the file."""
    arrays = {}
    for name, tensor in found.tensors.items():
        if tensor.dtype == _FLOAT32 and tensor.shape == expected.get(name):
            arrays[name] = source.read_array(name, tensor)
        else:
            source.read(tensor.end - tensor.start)
    return arrays


class _Source:
    """A file all of whose bytes go into a digest as they are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._reader = HashingReader(file)
        self.size = os.fstat(file.fileno()).st_size

    @property
    def is_small(self) -> bool:
        """Whether it may be read whole, whatever it holds."""
        return self.size <= AT_A_TIME

    def read(self, size: int) -> bytes:
        """That many bytes, or what there is."""
        return self._reader.read(size)

    def read_array(self, name: str, tensor: Tensor) -> npt.NDArray[np.float32]:
        """Reads a float32 array, aligned so that JAX's CPU device uses it without a copy."""
        if tensor.end - tensor.start != _ITEM_BYTES * math.prod(tensor.shape):
            raise MalformedError(f"tensor {name!r} has another size than its shape says")
        out = _allocate_aligned(tensor.shape)
        memory = out.reshape(-1).view(np.uint8).data
        for start in range(0, len(memory), AT_A_TIME):
            part = memory[start : start + AT_A_TIME]
            if self._reader.readinto(part) < len(part):
                raise MalformedError("it became shorter while it was read")
        return out

    def matches(self, checksum: str) -> bool:
        """Whether the file has this digest, as far as it is known without reading a large rest."""
        if self.is_small:
            self.read(AT_A_TIME)
        is_read = self._reader.size == self.size
        return not is_read or self._reader.digest.hexdigest() == checksum


def _allocate_aligned(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """An uninitialised array that begins at a multiple of `ALIGNMENT` bytes."""
    size = 4 * math.prod(shape)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(np.float32).reshape(shape)


def find_problems(arrays: Arrays, expected: ArrayShapes) -> Iterator[str]:
    """What would be wrong with these arrays in a file, a sentence each."""
    specs = {
        name: ArraySpec(array.dtype.name, array.shape, array.dtype == np.float32)
        for name, array in arrays.items()
    }
    yield from find_mismatches(specs, expected, _WANTED)
    yield from find_not_finite({n: a for n, a in arrays.items() if a.dtype == np.float32})


def find_not_finite(arrays: Arrays) -> Iterator[str]:
    """A sentence for each array with a NaN or an infinity in it."""
    for name, array in sorted(arrays.items()):
        flat = array.reshape(-1)
        step = AT_A_TIME // array.itemsize
        parts = (flat[start : start + step] for start in range(0, array.size, step))
        wrong = array.size - sum(np.count_nonzero(np.isfinite(part)) for part in parts)
        if wrong:
            yield f"parameter {name!r} has {wrong} of {array.size} values that are not finite"
