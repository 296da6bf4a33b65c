"""The types that records are decoded against."""

import re
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=np.iinfo(np.int32).max)]


class Record(msgspec.Struct, gc=False):
    """One object or a pair of them."""

    in0: list[Id] | UnsetType = UNSET
    in1: list[Id] | UnsetType = UNSET


class Labelled(Record, gc=False):
    """A pair with a label: all three must be there."""

    in0: list[Id]
    in1: list[Id]
    label: float


_R = TypeVar("_R", bound=Record)


class _Body(msgspec.Struct, Generic[_R]):
    instances: list[_R]


# By `labelled`; built once, because building a decoder costs more than a small request.
BODY: dict[bool, msgspec.json.Decoder[Any]] = {
    False: msgspec.json.Decoder(_Body[Record]),
    True: msgspec.json.Decoder(_Body[Labelled]),
}
LINE: dict[bool, msgspec.json.Decoder[Any]] = {
    False: msgspec.json.Decoder(Record),
    True: msgspec.json.Decoder(Labelled),
}


# an escaped pair of surrogates, half of one, or any other escape
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def decode_utf8(decoder: msgspec.json.Decoder[Any], text: bytes) -> Any:
    r"""Decodes JSON. Half of a surrogate pair (`\ud83d`), which JSON can hold, is a U+FFFD.

    The decoder would refuse it even in a field that it skips, and no text is ever kept.

    Raises:
        UnicodeDecodeError: the text is not UTF-8; the decoder does not look inside strings.
        msgspec.DecodeError: it is not JSON, or not what the decoder expects.
    """
    if not text.isascii():
        text.decode()
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        whole = _without_halves(text)
        if whole == text:
            raise
    return decoder.decode(whole)


def _without_halves(text: bytes) -> bytes:
    """The text with U+FFFD, which is as long, for each half of a surrogate pair."""
    if b"\\ud" not in text and b"\\uD" not in text:
        return text
    return _ESCAPES.sub(lambda found: rb"\ufffd" if found["half"] else found[0], text)
