"""Validation: what is wrong with a record, where, and the vocabulary check."""

import re
from collections.abc import Iterator
from types import NoneType
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np

from o2v_jax.arguments import describe, require_integer
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.records import Records, decode_utf8
from o2v_jax.errors import LONGEST_REQUEST, InputError, RecordError
from o2v_jax.hyperparameters import Hyperparameters

_PATH = re.compile(r" - at `(?P<path>.*)`$")
_STEP = re.compile(r"\.(?P<key>\w+)|\[(?P<index>\d+)\]")
_WANTED = (
    (re.compile(r"\.in[01]\[\d+\]$"), "an integer token id"),
    (re.compile(r"\.in[01]$"), "a list of token ids"),
    (re.compile(r"\.label$"), "a number"),
    (re.compile(r"\.instances$"), "a list of records"),
)
_RECORD = "an object that holds in0, in1 or both"
_KINDS = {float: "a float", bool: "a bool", int: "an integer", str: "a string", list: "a list"}
_LONGEST_SHOWN = 40
_LONGEST_READ = 2**24  # bytes of a text that is read once more, for what stands at a path in it
_TRAILING = re.compile(r"trailing characters \(byte (?P<at>\d+)\)")
SEVERAL = "several records stand on one line: each needs a line of its own"
SEVERAL_DOCUMENTS = 'several JSON values, but one {"instances": [...]} is expected'
UNFINISHED = "the line ends within a record: each must stand whole on one, as jq -c writes it"
DOCUMENT = "one JSON document: expected JSON Lines, a record a line"
_INT32_IDS = 2**31
_FIELDS = {"in0", "in1", "instances"}
_ANY = msgspec.json.Decoder(Any)


class Fault(NamedTuple):
    """What is wrong with a text.

    Attributes:
        path: the JSON path of the place.
        text: the reason; where an id is out of range, the id as it is shown.
        is_id: whether an id is out of range. The reason then names the vocabulary.
    """

    path: str
    text: str
    is_id: bool = False

    def reason(self, vocab_sizes: tuple[int, int] | None) -> str:
        """The reason, for the vocabulary of each side if it is known."""
        if not self.is_id:
            return self.text
        side = int(self.path[self.path.rindex(".in") + 3])
        return outside(self.text, vocab_sizes[side] if vocab_sizes else None)


def outside(value: int | str, size: int | None) -> str:
    """The reason for an id that is not in the vocabulary 0..size-1 (None: any int32 id)."""
    valid = f"the vocabulary 0..{size - 1}" if size else f"the range of ids 0..{_INT32_IDS - 1}"
    return f"{_clip(str(value))} is outside {valid}"


def explain(error: Exception, text: bytes, *, is_line: bool) -> Fault:
    """The JSON path and the reason of an error that decoding `text` gave.

    Args:
        error: what msgspec (or decoding UTF-8) raised.
        text: a JSON document, or one line of JSON Lines.
        is_line: whether `text` is one line of JSON Lines: `$` is a record there.
    """
    if isinstance(error, RecursionError):
        return Fault("$", "the JSON is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Fault("$", f"not UTF-8: byte {error.start} is 0x{text[error.start]:02x}")
    if not isinstance(error, msgspec.ValidationError):
        return Fault("$", _malformed(_plain(str(error)), text, is_line=is_line))
    found = _PATH.search(str(error))
    path = found["path"] if found else "$"
    value = _value_at(text, path)
    if path == "$" and not is_line:
        return Fault(path, _invalid_document(str(error), value))
    return _invalid(str(error), path, value)


def _malformed(message: str, text: bytes, *, is_line: bool) -> str:
    if found := _TRAILING.search(message):
        if text[int(found["at"]) - 1 :].lstrip().startswith((b"{", b"[")):
            return SEVERAL if is_line else SEVERAL_DOCUMENTS
    elif is_line and "truncated" in message:
        message = UNFINISHED
    return f"not valid JSON: {message}"


def _invalid_document(message: str, value: Any) -> str:
    if message.startswith("Object missing"):
        return 'the field "instances" is missing: expected {"instances": [...]}'
    hint = ': wrap it as {"instances": [the list]}' if isinstance(value, list) else ""
    return f'expected {{"instances": [...]}}{_got(value)}{hint}'


def _invalid(message: str, path: str, value: Any) -> Fault:
    if path == "$" and isinstance(value, dict) and _FIELDS & value.keys() == {"instances"}:
        return Fault(path, DOCUMENT)
    if missing := re.match(r"Object missing required field `(\w+)`", message):
        return Fault(path, f'the field "{missing[1]}" is missing')
    wanted = next((name for pattern, name in _WANTED if pattern.search(path)), _RECORD)
    if wanted == "an integer token id" and _is_out_of_range(message):
        return Fault(path, _clip(str(value)) if type(value) is int else "the integer", is_id=True)
    return Fault(path, f"expected {wanted}{_got(value)}")


def _is_out_of_range(message: str) -> bool:
    return message.startswith(("Integer value out of range", "Expected `int` "))


def _value_at(text: bytes, path: str) -> Any:
    """What stands at a path, or UNSET where the text cannot be read as a whole."""
    if len(text) > _LONGEST_READ:
        return msgspec.UNSET
    try:
        value = decode_utf8(_ANY, text)
        for step in _STEP.finditer(path):
            value = value[step["key"] or int(step["index"])]
    except (ValueError, RecursionError, LookupError, TypeError):
        return msgspec.UNSET
    return value


def _got(value: Any) -> str:
    if value is msgspec.UNSET:
        return ""
    if isinstance(value, NoneType):
        return ", got null"
    kind = _KINDS.get(type(value), "an object")
    if isinstance(value, list | dict):
        return f", got {kind}"
    return f", got {_clip(msgspec.json.encode(value).decode())} ({kind})"


def _clip(shown: str) -> str:
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."


def _plain(message: str) -> str:
    return message.removeprefix("JSON is malformed: ").replace("`", "")


VocabSizes: TypeAlias = tuple[int, int] | None
Problem: TypeAlias = tuple[int, RecordError] | None

NEITHER = "holds neither in0 nor in1: give both for scores, one for its embedding"


def first_problem(records: Records, vocab_sizes: VocabSizes) -> Problem:
    """The index of the first bad record and what is wrong with it, or None."""
    problems = [_side_problem(records), *_vocabulary_problems(records, vocab_sizes)]
    return min((p for p in problems if p), key=lambda p: p[0], default=None)


def _side_problem(records: Records) -> Problem:
    if records.paired:
        return None
    both, none = records.has0 & records.has1, ~(records.has0 | records.has1)
    odd = np.flatnonzero(none | (both != both[:1]))
    if not len(odd):
        return None
    first = int(odd[0])
    if none[first]:
        return first, RecordError(records.places.of(first), NEITHER)
    return first, mixed(records, first, records.places.of(0))


def mixed(records: Records, record: int, other: str) -> RecordError:
    """The error of a record that gives one side where others give both, or the reverse."""
    pair = bool(records.has0[record] and records.has1[record])
    return RecordError(records.places.of(record), mixed_reason(other, pair=pair))


def mixed_reason(other: str, *, pair: bool) -> str:
    """Why a record, a pair or not, cannot stand beside the other."""
    here, there = ("both sides", "only one") if pair else ("only one side", "both")
    return (
        f"gives {here}, but {other} gives {there}: ask for scores (both sides) "
        "and for embeddings (one side) separately"
    )


def _vocabulary_problems(records: Records, vocab_sizes: VocabSizes) -> Iterator[Problem]:
    sides = ((records.in0, records.has0), (records.in1, records.has1))
    for side, ((ragged, has), size) in enumerate(zip(sides, vocab_sizes or (), strict=False)):
        if not len(ragged.ids) or ragged.ids.max() < size:
            continue
        at = int(np.argmax(ragged.ids >= size))
        row = int(np.searchsorted(ragged.offsets, at, side="right")) - 1
        record = int(np.flatnonzero(has)[row])
        where = records.places.of(record, f".in{side}[{at - ragged.offsets[row]}]")
        yield record, RecordError(where, outside(int(ragged.ids[at]), size))


def checked(rows: Ragged, side: int, vocab_size: int) -> Ragged:
    """The rows, if all their ids lie in the vocabulary.

    Raises:
        RecordError: names the first id outside it.
    """
    outside = (rows.ids < 0) | (rows.ids >= vocab_size)
    if outside.any():
        at = int(outside.argmax())
        record = int(np.searchsorted(rows.offsets, at, side="right")) - 1
        where = f"record {record}: in{side}[{at - int(rows.offsets[record])}]"
        bounds = f"0..{vocab_size - 1}"
        raise RecordError(where, f"{rows.ids[at]} is outside the vocabulary {bounds}")
    return rows


def cut_lengths(config: Hyperparameters, max_seq_lens: tuple[int, int] | None) -> tuple[int, int]:
    """Where sequences are cut: at `max_seq_lens` if given, else at the model's max_seq_len.

    Raises:
        InputError: they are not two lengths in 1..5000.
    """
    if max_seq_lens is None:
        return config.encoder(0).max_seq_len, config.encoder(1).max_seq_len
    is_pair = isinstance(max_seq_lens, tuple | list) and len(max_seq_lens) == 2  # noqa: PLR2004
    if not is_pair:
        bounds = f"two lengths in 1..{LONGEST_REQUEST}"
        raise InputError(f"max_seq_lens must be {bounds}, got {describe(max_seq_lens)}")
    one, two = (
        require_integer(f"max_seq_lens[{side}]", length, 1, LONGEST_REQUEST)
        for side, length in enumerate(max_seq_lens)
    )
    return one, two
