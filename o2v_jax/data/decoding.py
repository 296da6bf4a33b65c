"""Bytes -> records: JSON documents, JSON Lines bodies, and JSON Lines files in chunks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import cast

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from o2v_jax.data.lines import split_chunks
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.records import (
    BODY,
    LINE,
    Format,
    MaybeLabelled,
    Places,
    Record,
    Records,
    TextRecord,
    at_line,
    decode_record,
    decode_utf8,
)
from o2v_jax.data.text_records import EncodedTexts, encode_plain_pairs, encode_texts
from o2v_jax.data.tokenizers import NO_VOCABULARY, Tokenizers
from o2v_jax.data.validate import SEVERAL, VocabSizes, explain, find_first_problem, make_mixed_error
from o2v_jax.errors import RecordError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.util import BOM

_NAMES = {Format.JSON: "one JSON document", Format.JSON_LINES: "JSON Lines"}
_CURL = "curl sends line ends with --data-binary, but not with -d"


class WrongFormatError(RecordError):
    """A body is not in the format that it is said to be in, but in the one of `actual`."""

    def __init__(self, where: str, reason: str, actual: Format) -> None:
        super().__init__(where, reason)
        self.actual = actual

    @property
    def kind(self) -> str:
        """What the body is, in words."""
        return _NAMES[self.actual]


class _Probe(msgspec.Struct):
    instances: msgspec.Raw | UnsetType = UNSET
    in0: msgspec.Raw | UnsetType = UNSET
    in1: msgspec.Raw | UnsetType = UNSET


_PROBE = msgspec.json.Decoder(_Probe)


@dataclass(frozen=True)
class DecodeOptions:
    """How records are read.

    Attributes:
        vocab_sizes: ids must lie in 0..size-1 of their side; None: anything that fits int32.
        labelled: every record must give a number as `label`; None: it may, and the label of one
            that does not is NaN; False: labels are ignored.
        tokenizers: of in0 and in1, which may then be texts or lists of tokens; None: ids alone.
        text_hint: what a message adds where a text stands for ids.
    """

    vocab_sizes: VocabSizes = None
    labelled: bool | None = False
    tokenizers: Tokenizers | None = None
    text_hint: str = ""

    @classmethod
    def for_model(
        cls,
        config: Hyperparameters,
        tokenizers: Tokenizers | None,
        *,
        labelled: bool | None = False,
    ) -> "DecodeOptions":
        """What a model takes: ids of its vocabularies, and texts if it has tokenizers."""
        return cls(config.vocab_sizes, labelled, tokenizers, NO_VOCABULARY)

    def explain(self, error: Exception, text: bytes, *, is_line: bool) -> tuple[str, str]:
        """The JSON path and the reason of what decoding `text` raised."""
        fault = explain(error, text, is_line=is_line)
        hint = f": {self.text_hint}" if fault.is_text and self.text_hint else ""
        return fault.path, fault.reason(self.vocab_sizes) + hint


def decode(body: bytes, media_type: str, options: DecodeOptions) -> Records:
    """Reads the body of a request.

    Args:
        body: UTF-8, with or without a byte order mark.
        media_type: a `Format`.
        options: how the records are decoded.

    Raises:
        RecordError: the first thing that is wrong, with its JSON path.

    >>> from o2v_jax.data import Format, DecodeOptions, decode
    >>> records = decode(b'{"instances": [{"in0": [3, 1], "in1": []}]}', Format.JSON,
    ...                  DecodeOptions((10, 10)))
    >>> records.in0.ids, records.paired
    (array([3, 1], dtype=int32), True)
    """
    body = body.removeprefix(BOM)
    if not body or body.isspace():
        raise RecordError("$", "the body is empty, but at least one record was expected")
    sent_as = Format(media_type)
    if sent_as is Format.JSON:
        records, error = _decode_document(body, options)
    else:
        records, error = _decode_lines(body.split(b"\n"), 1, None, options)
    if error:
        raise _find_wrong_format(body, sent_as) or error
    return records


def read_lines(
    stream: Iterable[bytes],
    name: str,
    options: DecodeOptions = DecodeOptions(),
    *,
    chunk_lines: int = 4096,
) -> Iterator[Records]:
    """Reads a JSON Lines file chunk by chunk; the records before a bad line come out first.

    Args:
        stream: a file opened in binary mode, or any lines of bytes.
        name: the file's name, for messages.
        options: how the records are decoded.
        chunk_lines: lines in a chunk, at most; of long lines, 8 MiB.

    Raises:
        RecordError: the first thing that is wrong, as `name:line $.in0[3]: ...`.
    """
    paired = None
    for first, chunk in split_chunks(stream, chunk_lines):
        records, error = _decode_lines(chunk, first, name, options)
        if len(records):
            if paired not in (None, records.paired):
                raise make_mixed_error(records, 0, f"the lines before {name}:{first}")
            paired = records.paired
            yield records
        if error:
            raise error


def sniff(body: bytes) -> Format:
    """The format of a body without a media type: JSON Lines if its first line is a record."""
    line = body.removeprefix(BOM).lstrip().partition(b"\n")[0]
    probe = _decode_probe(line)
    if probe and probe.instances is UNSET and (probe.in0, probe.in1) != (UNSET, UNSET):
        return Format.JSON_LINES
    return Format.JSON


def _decode_document(body: bytes, options: DecodeOptions) -> tuple[Records, RecordError | None]:
    has_tokenizers = options.tokenizers is not None
    try:
        rows = decode_record(BODY[options.labelled], body, texts=has_tokenizers).instances
    except (ValueError, RecursionError) as error:
        problem = RecordError(*options.explain(error, body, is_line=False))
        return make_records([], Places(), options.labelled), problem
    return check_records(rows, Places(), options)


def _decode_lines(
    lines: Iterable[bytes], first: int, name: str | None, options: DecodeOptions
) -> tuple[Records, RecordError | None]:
    rows, numbers, failure = [], [], None
    decoders, has_tokenizers = LINE[options.labelled], options.tokenizers is not None
    for number, line in enumerate(lines, first):
        if not line or line.isspace():
            continue
        try:
            rows.append(decode_record(decoders, line, texts=has_tokenizers))
        except (ValueError, RecursionError) as error:
            path, reason = options.explain(error, line, is_line=True)
            if name is None and reason == SEVERAL:  # a request
                reason = f"{reason}; {_CURL}"
            failure = RecordError(f"{at_line(name, number)} {path}", reason)
            break
        numbers.append(number)
    places = Places(name, np.asarray(numbers, np.int64))
    records, earlier = check_records(rows, places, options)
    return records, earlier or failure


def check_records(
    rows: Sequence[Record | TextRecord], places: Places, options: DecodeOptions
) -> tuple[Records, RecordError | None]:
    """The records before the first bad one, in ids, and what is wrong with that."""
    records = _make_plain_pairs(rows, places, options)
    if records and find_first_problem(records, options.vocab_sizes) is None:
        return records, None
    encoded = EncodedTexts(cast(Sequence[Record], rows))
    if options.tokenizers is not None:
        encoded = encode_texts(rows, options.tokenizers, places.of)
    records = make_records(encoded.rows, places, options.labelled)
    if any(encoded.unknown):
        records = replace(records, unknown=encoded.unknown)
    first = find_first_problem(records, options.vocab_sizes)
    if first is None:
        return records, encoded.refused
    good, error = first
    return make_records(encoded.rows[:good], places, options.labelled), error


def _make_plain_pairs(
    rows: Sequence[Record | TextRecord], places: Places, options: DecodeOptions
) -> Records | None:
    """Of pairs of printable ASCII texts alone; None: there are others, for `encode_texts`."""
    if options.tokenizers is None or not rows:
        return None
    pairs = encode_plain_pairs(rows, options.tokenizers)
    if pairs is None:
        return None
    in0, in1 = (
        int(np.count_nonzero(side.ids == tokenizer.unknown_id)) if tokenizer.unknown_id else 0
        for side, tokenizer in zip(pairs, options.tokenizers, strict=True)
    )
    has0, has1 = np.ones((2, len(rows)), np.bool_)
    return Records(*pairs, has0=has0, has1=has1, places=places, unknown=(in0, in1))


def make_records(rows: Sequence[Record], places: Places, labelled: bool | None = False) -> Records:
    """Decoded rows as arrays."""
    in0 = [row.in0 for row in rows if row.in0 is not UNSET]
    in1 = [row.in1 for row in rows if row.in1 is not UNSET]
    has0, has1 = np.ones((2, len(rows)), np.bool_)
    if not len(in0) == len(in1) == len(rows):
        has0[:] = [row.in0 is not UNSET for row in rows]
        has1[:] = [row.in1 is not UNSET for row in rows]
    labels = None
    if labelled is not False:
        given = (row.label for row in rows if isinstance(row, MaybeLabelled))
        labels = np.array([np.nan if label is UNSET else label for label in given], np.float64)
    return Records(_ragged(in0), _ragged(in1), labels, has0=has0, has1=has1, places=places)


def _ragged(rows: Sequence[list[int]]) -> Ragged:
    """As `Ragged.of`, of ids whose range is known."""
    offsets = np.fromiter(accumulate(map(len, rows), initial=0), np.int64, len(rows) + 1)
    return Ragged(np.fromiter(chain.from_iterable(rows), np.int32, offsets[-1]), offsets)


def _find_wrong_format(body: bytes, sent_as: Format) -> WrongFormatError | None:
    is_lines, probe = sniff(body) is Format.JSON_LINES, _decode_probe(body)
    if sent_as is Format.JSON and is_lines:
        actual = Format.JSON_LINES
    elif sent_as is Format.JSON_LINES and probe and probe.instances is not UNSET:
        actual = Format.JSON
    else:
        return None
    reason = f"the body is {_NAMES[actual]}: send it with Content-Type {actual}"
    return WrongFormatError("$", reason, actual)


def _decode_probe(text: bytes) -> _Probe | None:
    try:
        return decode_utf8(_PROBE, text)  # type: ignore[no-any-return]
    except (ValueError, RecursionError):
        return None
