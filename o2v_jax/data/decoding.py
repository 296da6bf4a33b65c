"""Bytes -> records: JSON documents, JSON Lines bodies, and JSON Lines files in chunks."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from o2v_jax.data.lines import split_chunks
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.records import (
    BODY,
    LINE,
    Format,
    Labelled,
    Places,
    Record,
    Records,
    at_line,
    decode_utf8,
)
from o2v_jax.data.validate import SEVERAL, VocabSizes, explain, find_first_problem, make_mixed_error
from o2v_jax.errors import RecordError
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


def decode(
    body: bytes, media_type: str, *, vocab_sizes: VocabSizes, labelled: bool = False
) -> Records:
    """Reads the body of a request.

    Args:
        body: UTF-8, with or without a byte order mark.
        media_type: a `Format`.
        vocab_sizes: ids must lie in 0..size-1 of their side; None: anything that fits int32.
        labelled: every record must give a number as `label` (otherwise labels are ignored).

    Raises:
        RecordError: the first thing that is wrong, with its JSON path.

    >>> from o2v_jax.data import Format, decode
    >>> records = decode(b'{"instances": [{"in0": [3, 1], "in1": []}]}', Format.JSON,
    ...                  vocab_sizes=(10, 10))
    >>> records.in0.ids, records.paired
    (array([3, 1], dtype=int32), True)
    """
    body = body.removeprefix(BOM)
    if not body or body.isspace():
        raise RecordError("$", "the body is empty, but at least one record was expected")
    sent_as = Format(media_type)
    if sent_as is Format.JSON:
        records, error = _decode_document(body, vocab_sizes, labelled)
    else:
        records, error = _decode_lines(body.split(b"\n"), 1, None, vocab_sizes, labelled)
    if error:
        raise _find_wrong_format(body, sent_as) or error
    return records


def read_lines(
    stream: Iterable[bytes],
    name: str,
    *,
    vocab_sizes: VocabSizes = None,
    labelled: bool = False,
    chunk_lines: int = 4096,
) -> Iterator[Records]:
    """Reads a JSON Lines file chunk by chunk; the records before a bad line come out first.

    Args:
        stream: a file opened in binary mode, or any lines of bytes.
        name: the file's name, for messages.
        vocab_sizes: as in `decode`.
        labelled: as in `decode`.
        chunk_lines: lines in a chunk, at most; of long lines, 8 MiB.

    Raises:
        RecordError: the first thing that is wrong, as `name:line $.in0[3]: ...`.
    """
    paired = None
    for first, chunk in split_chunks(stream, chunk_lines):
        records, error = _decode_lines(chunk, first, name, vocab_sizes, labelled)
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


def _decode_document(
    body: bytes, vocab_sizes: VocabSizes, labelled: bool
) -> tuple[Records, RecordError | None]:
    try:
        rows = decode_utf8(BODY[labelled], body).instances
    except (ValueError, RecursionError) as error:
        fault = explain(error, body, is_line=False)
        problem = RecordError(fault.path, fault.reason(vocab_sizes))
        return make_records([], Places(), labelled), problem
    return _check_records(rows, Places(), vocab_sizes, labelled)


def _decode_lines(
    lines: Iterable[bytes], first: int, name: str | None, vocab_sizes: VocabSizes, labelled: bool
) -> tuple[Records, RecordError | None]:
    rows, numbers, failure = [], [], None
    decoder = LINE[labelled]
    for number, line in enumerate(lines, first):
        if not line or line.isspace():
            continue
        try:
            rows.append(decode_utf8(decoder, line))
        except (ValueError, RecursionError) as error:
            fault = explain(error, line, is_line=True)
            reason = fault.reason(vocab_sizes)
            if name is None and fault.text == SEVERAL:  # a request
                reason = f"{reason}; {_CURL}"
            failure = RecordError(f"{at_line(name, number)} {fault.path}", reason)
            break
        numbers.append(number)
    places = Places(name, np.asarray(numbers, np.int64))
    records, earlier = _check_records(rows, places, vocab_sizes, labelled)
    return records, earlier or failure


def _check_records(
    rows: Sequence[Record], places: Places, vocab_sizes: VocabSizes, labelled: bool
) -> tuple[Records, RecordError | None]:
    """The records before the first bad one, and what is wrong with that."""
    records = make_records(rows, places, labelled)
    first = find_first_problem(records, vocab_sizes)
    if first is None:
        return records, None
    good, error = first
    return make_records(rows[:good], places, labelled), error


def make_records(rows: Sequence[Record], places: Places, labelled: bool = False) -> Records:
    """Decoded rows as arrays."""
    in0 = [row.in0 for row in rows if row.in0 is not UNSET]
    in1 = [row.in1 for row in rows if row.in1 is not UNSET]
    has0, has1 = np.ones((2, len(rows)), np.bool_)
    if not len(in0) == len(in1) == len(rows):
        has0[:] = [row.in0 is not UNSET for row in rows]
        has1[:] = [row.in1 is not UNSET for row in rows]
    labels = np.array([r.label for r in rows if isinstance(r, Labelled)]) if labelled else None
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
