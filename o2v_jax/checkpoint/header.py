"""The header of a safetensors file that is not trusted: checked before any array is read."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from o2v_jax.arguments import show
from o2v_jax.data.vocabulary import refuse_duplicate_keys

LENGTH_BYTES = 8
MAX_BYTES = 2**20  # hundreds of parameters take some tens of KB
_METADATA = "__metadata__"


class MalformedError(ValueError):
    """It is not a safetensors file, or only a part of one."""


class Tensor(NamedTuple):
    """A tensor of a file: its bytes are those from `start` to `end` after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class Header(NamedTuple):
    """What a file says of itself: its tensors in the order of their bytes, and free text."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]


def parse_length(first: bytes) -> int:
    """How many bytes the header takes, by the first eight of the file.

    Raises:
        MalformedError: they are fewer, or it is too large.
    """
    if len(first) < LENGTH_BYTES:
        raise MalformedError(f"it has {len(first)} bytes")
    size = int.from_bytes(first, "little")
    if size > MAX_BYTES:
        raise MalformedError(f"its header takes {size:,} bytes, but at most {MAX_BYTES:,} are read")
    return size


def parse(text: bytes, data_bytes: int) -> Header:
    """Reads a header.

    Args:
        text: the header.
        data_bytes: how many bytes follow it.

    Raises:
        MalformedError: it is not a header, or its tensors do not fill those bytes in turn.
    """
    try:
        document = json.loads(text, object_pairs_hook=refuse_duplicate_keys)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"its header is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise MalformedError("its header is not a JSON object")
    metadata = document.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise MalformedError("its metadata is not an object of strings")
    tensors = {name: _parse_tensor(name, value) for name, value in document.items()}
    tensors = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)))
    _check_offsets(tensors, data_bytes)
    return Header(tensors, metadata)


def _parse_tensor(name: str, value: Any) -> Tensor:
    try:
        dtype, shape, (start, end) = (value[key] for key in ("dtype", "shape", "data_offsets"))
    except (TypeError, KeyError, ValueError) as error:
        raise MalformedError(f"tensor {show(name)} lacks a dtype, a shape or offsets") from error
    if not isinstance(dtype, str) or not isinstance(shape, list):
        raise MalformedError(f"tensor {show(name)} has an invalid dtype or shape")
    if not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
        raise MalformedError(f"tensor {show(name)} has a size or an offset that is not a number")
    return Tensor(dtype, tuple(shape), start, end)


def _check_offsets(tensors: Mapping[str, Tensor], data_bytes: int) -> None:
    end = 0
    for name, tensor in tensors.items():
        if tensor.start != end or tensor.end < end:
            raise MalformedError(f"the bytes of tensor {show(name)} do not follow those before it")
        end = tensor.end
    if end != data_bytes:
        raise MalformedError(f"its tensors take {show(end)} bytes, but {data_bytes:,} are there")
