"""Reads records of which some may be bad: the good ones, and what is wrong with the others."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import msgspec
import numpy as np
import numpy.typing as npt

from o2v_jax.data.decoding import DecodeOptions, WrongFormatError, decode, make_records
from o2v_jax.data.file_types import is_document
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.records import (
    LINE,
    Format,
    Places,
    Record,
    Records,
    TextRecord,
    decode_record,
    decode_utf8,
)
from o2v_jax.data.text_records import encode_each_text
from o2v_jax.data.validate import NEITHER, VocabSizes, describe_outside, iterate_outside
from o2v_jax.errors import RecordError
from o2v_jax.util import BOM

PlaceOf: TypeAlias = Callable[[int], str]

_CHUNK = 4096  # records that are Python objects at a time


class _Document(msgspec.Struct):
    instances: list[msgspec.Raw]


_DOCUMENT = msgspec.json.Decoder(_Document)


@dataclass(frozen=True, eq=False)
class Each:
    """What texts hold, one record each.

    Attributes:
        records: the good ones.
        good: bool `[texts]`, which they are.
        errors: what is wrong with the others, by number.
    """

    records: Records
    good: npt.NDArray[np.bool_]
    errors: dict[int, RecordError]


def read_each(texts: Sequence[bytes], place_of: PlaceOf, options: DecodeOptions) -> Each:
    """Reads records, and continues past bad records.

    Args:
        texts: a JSON object each.
        place_of: where a text stands, by its number, as the beginning of a JSON path, "a:3 $".
        options: how they are decoded, without labels.

    >>> options = DecodeOptions((5, 5))
    >>> each = read_each([b'{"in0": [3]}', b'{"in0": [9]}'], "line {} $".format, options)
    >>> each.good.tolist(), str(each.errors[1])
    ([True, False], 'line 1 $.in0[0]: 9 is outside the vocabulary 0..4')
    """
    good, errors = np.ones(len(texts), np.bool_), dict[int, RecordError]()
    parts = [
        _read_chunk(texts[first : first + _CHUNK], first, place_of, options, errors)
        for first in range(0, len(texts), _CHUNK)
    ]
    good[list(errors)] = False
    return Each(_concatenate(parts), good, errors)


def split_instances(document: bytes) -> list[bytes]:
    """The texts of the records of a JSON document.

    Raises:
        RecordError: it is not `{"instances": [...]}`; the path is that in the document.
    """
    body = document.removeprefix(BOM)
    try:
        return [bytes(raw) for raw in decode_utf8(_DOCUMENT, body).instances]
    except (ValueError, RecursionError):
        decode(body, Format.JSON, DecodeOptions())  # says what is wrong
        raise


def _read_chunk(
    texts: Sequence[bytes],
    first: int,
    place_of: PlaceOf,
    options: DecodeOptions,
    errors: dict[int, RecordError],
) -> Records:
    has_tokenizers = options.tokenizers is not None
    decoded: list[Record | TextRecord] = []
    numbers: list[int] = []
    for number, text in enumerate(texts, first):
        try:
            decoded.append(decode_record(LINE[False], text, texts=has_tokenizers))
            numbers.append(number)
        except (ValueError, RecursionError) as error:
            path, reason = options.explain(error, text, is_line=True)
            errors[number] = RecordError(place_of(number) + path.removeprefix("$"), reason)
    rows, numbers = _encode_texts(decoded, numbers, place_of, options, errors)
    records = make_records(rows, Places())
    bad = dict(_find_problems(records, options.vocab_sizes))
    if not bad:
        return records
    for at, (path, reason) in bad.items():
        number = numbers[at]
        errors[number] = _make_error(place_of(number) + path, reason, texts[number - first])
    return make_records([row for at, row in enumerate(rows) if at not in bad], Places())


def _encode_texts(
    decoded: list[Record | TextRecord],
    numbers: list[int],
    place_of: PlaceOf,
    options: DecodeOptions,
    errors: dict[int, RecordError],
) -> tuple[list[Record], list[int]]:
    """Records in ids, and their numbers; those that a tokenizer refuses are errors."""
    if options.tokenizers is None:
        return cast(list[Record], decoded), numbers
    rows, refused = encode_each_text(
        decoded, options.tokenizers, lambda at, path: place_of(numbers[at]) + path
    )
    errors |= {numbers[at]: error for at, error in refused.items()}
    return rows, [number for at, number in enumerate(numbers) if at not in refused]


def _make_error(where: str, reason: str, text: bytes) -> RecordError:
    if reason == NEITHER and is_document(text):
        return WrongFormatError(where, "is one JSON document", Format.JSON)
    return RecordError(where, reason)


def _find_problems(
    records: Records, vocab_sizes: VocabSizes
) -> Iterator[tuple[int, tuple[str, str]]]:
    """By record, the path and the reason; a record's first comes last, so that a dict keeps it."""
    sides = ((records.in0, records.has0), (records.in1, records.has1))
    for side, size in reversed(list(enumerate(vocab_sizes or ()))):
        ragged, has = sides[side]
        for value, row, position in reversed(list(iterate_outside(ragged, size))):
            path = f".in{side}[{position}]"
            yield int(np.flatnonzero(has)[row]), (path, describe_outside(value, size))
    for record in np.flatnonzero(~(records.has0 | records.has1)).tolist():
        yield record, ("", NEITHER)


def _concatenate(parts: list[Records]) -> Records:
    if not parts:
        return make_records([], Places())
    has0, has1 = (np.concatenate([getattr(p, name) for p in parts]) for name in ("has0", "has1"))
    in0, in1 = (Ragged.concatenate([getattr(p, name) for p in parts]) for name in ("in0", "in1"))
    return Records(in0, in1, has0=has0, has1=has1, places=Places())
