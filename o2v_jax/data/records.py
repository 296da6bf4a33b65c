"""Records in memory, and the types that JSON is decoded against."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from o2v_jax.array_types import Index
from o2v_jax.data.ragged import Ragged

LabelValues: TypeAlias = npt.NDArray[np.float64]


class Format(StrEnum):
    """The two formats of requests and answers, by their media types."""

    JSON = "application/json"
    JSON_LINES = "application/jsonlines"


@dataclass(frozen=True, eq=False)
class Places:
    """Where records stood: in a JSON document, or in lines (of a file).

    Attributes:
        name: the file's name, if it is one.
        lines: int64 `[records]`, line numbers from 1; None for a JSON document.
    """

    name: str | None = None
    lines: Index | None = None

    def of(self, record: int, path: str = "") -> str:
        """The place of something in a record, e.g. `of(3, ".in0[7]")`."""
        if self.lines is None:
            return f"$.instances[{record}]{path}"
        return f"{at_line(self.name, int(self.lines[record]))} ${path}"


@dataclass(frozen=True, eq=False)
class Pairs:
    """Sequences of both sides, and perhaps labels: what every container of records holds.

    Attributes:
        in0: token ids of the in0 sides.
        in1: token ids of the in1 sides.
        labels: float64 `[records]`; None: not asked for.
    """

    in0: Ragged
    in1: Ragged
    labels: LabelValues | None = None

    def __len__(self) -> int:
        return len(self.in0)

    @property
    def sides(self) -> tuple[Ragged, Ragged]:
        """in0 and in1."""
        return self.in0, self.in1


@dataclass(frozen=True, eq=False, kw_only=True)
class Records(Pairs):
    """Validated records, in their order; any may lack a side.

    `in0` and `in1` hold the sides that are present: `[has0.sum()]` and `[has1.sum()]` rows.

    Attributes:
        has0: bool `[records]`, which records give in0.
        has1: bool `[records]`, which records give in1.
        places: where each record stood, for messages about it.
        unknown: tokens of texts that the vocabulary of in0 lacks, and that of in1.
    """

    has0: npt.NDArray[np.bool_]
    has1: npt.NDArray[np.bool_]
    places: Places
    unknown: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return len(self.has0)

    @property
    def paired(self) -> bool:
        """Whether every record gives both sides (true of no records): scores are wanted."""
        return len(self.in0) == len(self.in1) == len(self)  # each side has those that are present


def at_line(name: str | None, number: int) -> str:
    """A line of a request's body, or of the named file."""
    return f"line {number}" if name is None else f"{name}:{number}"


Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=np.iinfo(np.int32).max)]


class Record(msgspec.Struct, gc=False):
    """One object or a pair of them."""

    in0: list[Id] | UnsetType = UNSET
    in1: list[Id] | UnsetType = UNSET


class MaybeLabelled(Record, gc=False):
    """A pair, perhaps with a label."""

    in0: list[Id]
    in1: list[Id]
    label: float | UnsetType = UNSET


class Labelled(MaybeLabelled, gc=False):
    """A pair with a label: all three must be there."""

    label: float


class TrainingRecord(Labelled, gc=False):
    """A labelled pair, perhaps with hard negatives, which are in1 that are wrong for its in0."""

    negatives: list[list[Id]] | None = None


class TextRecord(msgspec.Struct, gc=False):
    """One object or a pair of them; each may be a text, or a list of tokens."""

    in0: str | list[str | Id] | UnsetType = UNSET
    in1: str | list[str | Id] | UnsetType = UNSET


class MaybeLabelledText(TextRecord, gc=False):
    """A pair of texts, perhaps with a label."""

    in0: str | list[str | Id]
    in1: str | list[str | Id]
    label: float | UnsetType = UNSET


class LabelledText(MaybeLabelledText, gc=False):
    """A pair of texts with a label: all three must be there."""

    label: float


_R = TypeVar("_R", bound=Record | TextRecord)


class _Body(msgspec.Struct, Generic[_R]):
    instances: list[_R]


class Decoders(NamedTuple):
    """Decoders of one form of JSON: of records of ids alone, which is faster, and of texts too."""

    ids: msgspec.json.Decoder[Any]
    texts: msgspec.json.Decoder[Any]


# By `labelled`; built once, because building a decoder costs more than a small request.
BODY: dict[bool | None, Decoders] = {
    False: Decoders(msgspec.json.Decoder(_Body[Record]), msgspec.json.Decoder(_Body[TextRecord])),
    True: Decoders(
        msgspec.json.Decoder(_Body[Labelled]), msgspec.json.Decoder(_Body[LabelledText])
    ),
    None: Decoders(
        msgspec.json.Decoder(_Body[MaybeLabelled]), msgspec.json.Decoder(_Body[MaybeLabelledText])
    ),
}
LINE: dict[bool | None, Decoders] = {
    False: Decoders(msgspec.json.Decoder(Record), msgspec.json.Decoder(TextRecord)),
    True: Decoders(msgspec.json.Decoder(Labelled), msgspec.json.Decoder(LabelledText)),
    None: Decoders(msgspec.json.Decoder(MaybeLabelled), msgspec.json.Decoder(MaybeLabelledText)),
}
TRAINING_LINE = msgspec.json.Decoder(TrainingRecord)


def decode_record(decoders: Decoders, text: bytes, *, texts: bool) -> Any:
    """Decodes JSON as `decode_utf8`: records of ids, or with `texts` also of texts."""
    try:
        return decode_utf8(decoders.ids, text)
    except msgspec.ValidationError:
        if not texts:
            raise
    return decode_utf8(decoders.texts, text)


# an escaped pair of surrogates, half of one, or any other escape
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def decode_utf8(decoder: msgspec.json.Decoder[Any], text: bytes) -> Any:
    r"""Decodes JSON. Half of a surrogate pair (`\ud83d`), which JSON can hold, becomes U+FFFD.

    The decoder would refuse it, even in a field that it skips.

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
        whole = _replace_halves(text)
        if whole == text:
            raise
    return decoder.decode(whole)


def _replace_halves(text: bytes) -> bytes:
    """The text with U+FFFD, which is as long, for each half of a surrogate pair."""
    if b"\\ud" not in text and b"\\uD" not in text:
        return text
    return _ESCAPES.sub(lambda found: rb"\ufffd" if found["half"] else found[0], text)
