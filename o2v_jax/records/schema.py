"""The types that records are decoded against."""

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


def require_utf8(text: bytes) -> None:
    """The decoder does not look inside strings that it skips; invalid bytes there are an error.

    Raises:
        UnicodeDecodeError: the text is not UTF-8.
    """
    if not text.isascii():
        text.decode()
