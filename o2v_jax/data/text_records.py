"""Records whose sides are texts, or lists of tokens: they become token ids by the tokenizers."""

from collections.abc import Sequence
from typing import NamedTuple, cast

from msgspec import UNSET, UnsetType

from o2v_jax.data.records import Labelled, LabelledText, Places, Record, TextRecord
from o2v_jax.data.tokenizers import SIDES, Tokenizer, Tokenizers
from o2v_jax.errors import InputError, RecordError

Ids = list[int] | UnsetType


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


def encode_texts(
    rows: Sequence[Record | TextRecord], tokenizers: Tokenizers, places: Places
) -> EncodedTexts:
    """Turns texts into ids. A list of integers holds ids, whatever the tokenizer of its side takes.

    Args:
        rows: decoded records.
        tokenizers: of in0 and in1.
        places: of the records, for messages.
    """
    if not any(isinstance(row, TextRecord) for row in rows):
        return EncodedTexts(cast(Sequence[Record], rows))
    encoded: list[Record] = []
    unknown = [0, 0]
    for number, row in enumerate(rows):
        if isinstance(row, Record):
            encoded.append(row)
            continue
        try:
            encoded.append(_encode(row, tokenizers, unknown))
        except RecordError as error:
            refused = RecordError(places.of(number, error.where), error.reason)
            return EncodedTexts(encoded, (unknown[0], unknown[1]), refused)
    return EncodedTexts(encoded, (unknown[0], unknown[1]))


def _encode(row: TextRecord, tokenizers: Tokenizers, unknown: list[int]) -> Record:
    in0, in1 = (
        _encode_side(side, tokenizers[side], value, unknown)
        for side, value in enumerate((row.in0, row.in1))
    )
    if isinstance(row, LabelledText):
        return Labelled(cast(list[int], in0), cast(list[int], in1), row.label)
    return Record(in0, in1)


def _encode_side(
    side: int, tokenizer: Tokenizer, value: str | list[str | int] | UnsetType, unknown: list[int]
) -> Ids:
    if isinstance(value, UnsetType):
        return UNSET
    if isinstance(value, list) and all(type(item) is int for item in value):
        return cast(list[int], value)
    try:
        ids = tokenizer.encode(value)
    except InputError as error:
        raise RecordError(f".{SIDES[side]}", str(error)) from error
    unknown[side] += ids.count(tokenizer.unknown_id) if tokenizer.unknown_id else 0
    return ids
