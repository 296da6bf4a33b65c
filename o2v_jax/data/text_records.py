"""Records whose sides are texts, or lists of tokens: they become token ids by the tokenizers."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeAlias, cast

from msgspec import UnsetType

from o2v_jax.data.ragged import Ragged
from o2v_jax.data.records import MaybeLabelled, MaybeLabelledText, Record, TextRecord
from o2v_jax.data.tokenizers import SIDES, Tokenizer, Tokenizers
from o2v_jax.errors import InputError, RecordError

Ids = list[int] | UnsetType
Value = str | list[str | int] | UnsetType


class EncodedTexts(NamedTuple):
    """Records in ids.

    Attributes:
        rows: those before the first that a tokenizer refuses.
        unknown: how many tokens of their texts the vocabulary of in0 lacks, and of in1.
        refused: what is wrong with the first that is refused, if one is.
    """

    rows: Sequence[Record]
    unknown: tuple[int, int] = (0, 0)
    refused: RecordError | None = None


PathOf: TypeAlias = Callable[[int, str], str]


def encode_texts(
    rows: Sequence[Record | TextRecord], tokenizers: Tokenizers, place_of: PathOf
) -> EncodedTexts:
    """Turns texts into ids. A list of integers holds ids, whatever the tokenizer of its side takes.

    Args:
        rows: decoded records.
        tokenizers: of in0 and in1.
        place_of: where a path in a record stands, by the record's number, for messages.
    """
    if not any(isinstance(row, TextRecord) for row in rows):
        return EncodedTexts(cast(Sequence[Record], rows))
    encoders = _SideEncoder(rows, tokenizers[0], 0), _SideEncoder(rows, tokenizers[1], 1)
    encoded: list[Record] = []
    refused = None
    for number, row in enumerate(rows):
        if isinstance(row, Record):
            encoded.append(row)
            continue
        try:
            encoded.append(_encode(row, encoders))
        except RecordError as error:
            refused = RecordError(place_of(number, error.where), error.reason)
            break
    return EncodedTexts(encoded, (encoders[0].unknown, encoders[1].unknown), refused)


def encode_plain_pairs(
    rows: Sequence[Record | TextRecord], tokenizers: Tokenizers
) -> tuple[Ragged, Ragged] | None:
    """Both sides of pairs of printable ASCII texts, most of what is sent; None: there are others.

    Nothing is looked at twice: a server splits texts on its event loop.
    """
    if {*map(type, rows)} != {TextRecord}:
        return None
    in0, in1 = ([getattr(row, side) for row in rows] for side in SIDES)
    if {*map(type, in0), *map(type, in1)} != {str}:
        return None
    pairs = tokenizers[0].encode_plain(in0), tokenizers[1].encode_plain(in1)
    return None if pairs[0] is None or pairs[1] is None else (pairs[0], pairs[1])


def encode_each_text(
    rows: Sequence[Record | TextRecord], tokenizers: Tokenizers, place_of: PathOf
) -> tuple[list[Record], dict[int, RecordError]]:
    """As `encode_texts`, past refused records: the others, and what is wrong with each of them."""
    found = encode_texts(rows, tokenizers, place_of)
    encoded = list(found.rows)
    refused: dict[int, RecordError] = {}
    for number in range(len(encoded), len(rows)):  # few are refused, or all: one by one then
        one = encode_texts(rows[number : number + 1], tokenizers, partial(_shift, place_of, number))
        encoded += one.rows
        if one.refused:
            refused[number] = one.refused
    return encoded, refused


def _shift(place_of: PathOf, first: int, number: int, path: str) -> str:
    return place_of(first + number, path)


def encode_values(
    tokenizer: Tokenizer, values: Sequence[Any]
) -> tuple[list[list[int]], dict[int, str]]:
    """The ids of raw values, none of those that are refused, and why each of these is."""
    rows: list[list[int]] = []
    refused: dict[int, str] = {}
    with suppress(InputError):  # of the first, which is said below
        rows.extend(tokenizer.encode_each(values))
    for number in range(len(rows), len(values)):
        try:
            rows.append(tokenizer.encode(values[number]))
        except InputError as error:
            rows.append([])
            refused[number] = str(error)
    return rows, refused


class _SideEncoder:
    """Encodes one side of records in their order, texts many at a time.

    Attributes:
        unknown: how many tokens so far the vocabulary lacks.
    """

    def __init__(
        self, rows: Sequence[Record | TextRecord], tokenizer: Tokenizer, side: int
    ) -> None:
        self.unknown = 0
        self._where = f".{SIDES[side]}"
        self._unknown_id = tokenizer.unknown_id
        texts = (row for row in rows if isinstance(row, TextRecord))
        values = [row.in1 if side else row.in0 for row in texts]
        raw = [value for value in values if not _is_encoded(value)]
        self._ids = tokenizer.encode_each(cast(list[str | list[str | int]], raw))

    def encode(self, value: Value) -> Ids:
        """The ids of the next record's side.

        Raises:
            RecordError: the tokenizer refuses it.
        """
        if _is_encoded(value):
            return cast(Ids, value)
        try:
            ids = next(self._ids)
        except InputError as error:
            raise RecordError(self._where, str(error)) from error
        self.unknown += ids.count(self._unknown_id) if self._unknown_id else 0
        return ids


def _is_encoded(value: Value) -> bool:
    """Whether there is nothing, or a list of ids."""
    if isinstance(value, UnsetType):
        return True
    return isinstance(value, list) and all(type(item) is int for item in value)


def _encode(row: TextRecord, encoders: tuple[_SideEncoder, _SideEncoder]) -> Record:
    in0, in1 = encoders[0].encode(row.in0), encoders[1].encode(row.in1)
    if isinstance(row, MaybeLabelledText):
        return MaybeLabelled(cast(list[int], in0), cast(list[int], in1), row.label)
    return Record(in0, in1)
