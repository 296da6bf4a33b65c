"""Validation: what is wrong with a record, where, and the vocabulary check."""

import re
from collections.abc import Iterator
from types import NoneType
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from o2v_jax.arguments import describe, require_integer
from o2v_jax.array_types import Index
from o2v_jax.constants import LONGEST_REQUEST
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.records import Records, decode_utf8
from o2v_jax.errors import InputError, RecordError
from o2v_jax.hyperparameters import Hyperparameters

_PATH = re.compile(r" - at `(?P<path>.*)`$")
_STEP = re.compile(r"\.(?P<key>\w+)|\[(?P<index>\d+)\]")
_WANTED = (
    (re.compile(r"\.(in[01](\[\d+\])+|negatives\[\d+\]\[\d+\])$"), "an integer token id"),
    (re.compile(r"\.(in[01]|negatives\[\d+\])$"), "a list of token ids"),
    (re.compile(r"\.negatives$"), "a list of lists of token ids"),
    (re.compile(r"\.label$"), "a number"),
    (re.compile(r"\.instances$"), "a list of records"),
    (re.compile(r"\.k$"), "an integer of at least 1"),
    (re.compile(r"\.class_index$"), "an integer from 0"),
    (re.compile(r"\.exclude$"), "a list of keys"),
    (re.compile(r"\.exclude\[\d+\]$"), "a key, which is a text or an integer"),
)
_RECORD = "an object that holds in0, in1 or both"
_KINDS = {float: "a float", bool: "a bool", int: "an integer", str: "a string", list: "a list"}
_LONGEST_SHOWN = 40
_LONGEST_READ = 2**24  # bytes of a text that is read once more, for what stands at a path in it
_TRAILING = re.compile(r"trailing characters \(byte (?P<at>\d+)\)")
MaxSeqLens: TypeAlias = tuple[int, int]  # max_seq_len of each side
SEVERAL = "several records stand on one line: each needs a line of its own"
SEVERAL_DOCUMENTS = 'several JSON values, but one {"instances": [...]} is expected'
UNFINISHED = "the line ends within a record: write each record on one line, as jq -c does"
DOCUMENT = "one JSON document: expected JSON Lines, a record a line"
INT32_IDS = 2**31
_FIELDS = {"in0", "in1", "instances"}
_ANY = msgspec.json.Decoder(Any)


class Fault(NamedTuple):
    """What is wrong with a text.

    Attributes:
        path: the JSON path.
        text: the reason; where an id is out of range, the id as it is shown.
        is_id: whether an id is out of range. The reason then names the vocabulary.
        is_text: whether a text stands where an id or ids are expected.
    """

    path: str
    text: str
    is_id: bool = False
    is_text: bool = False

    def reason(self, vocab_sizes: tuple[int, int] | None) -> str:
        """The reason, for the vocabulary of each side if it is known."""
        if not self.is_id:
            return self.text
        side = 0 if ".in0" in self.path else 1  # of in1 and of negatives
        return describe_outside(self.text, vocab_sizes[side] if vocab_sizes else None)


def describe_outside(value: int | str, size: int | None) -> str:
    """The reason for an id that is not in the vocabulary 0..size-1 (None: any int32 id)."""
    valid = f"the vocabulary 0..{size - 1}" if size else f"the range of ids 0..{INT32_IDS - 1}"
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
        return Fault("$", _describe_malformed(_simplify(str(error)), text, is_line=is_line))
    found = _PATH.search(str(error))
    path = found["path"] if found else "$"
    value = _read_value_at(text, path)
    if path == "$" and not is_line:
        return Fault(path, _describe_invalid_document(str(error), value))
    return _describe_invalid(str(error), path, value)


def _describe_malformed(message: str, text: bytes, *, is_line: bool) -> str:
    if found := _TRAILING.search(message):
        if text[int(found["at"]) - 1 :].lstrip().startswith((b"{", b"[")):
            return SEVERAL if is_line else SEVERAL_DOCUMENTS
    elif is_line and "truncated" in message:
        message = UNFINISHED
    return f"not valid JSON: {message}"


def _describe_invalid_document(message: str, value: Any) -> str:
    if message.startswith("Object missing"):
        return 'the field "instances" is missing: expected {"instances": [...]}'
    hint = ': wrap it as {"instances": [the list]}' if isinstance(value, list) else ""
    return f'expected {{"instances": [...]}}{_describe_got(value)}{hint}'


def _describe_invalid(message: str, path: str, value: Any) -> Fault:
    if path == "$" and isinstance(value, dict) and _FIELDS & value.keys() == {"instances"}:
        return Fault(path, DOCUMENT)
    if missing := re.match(r"Object missing required field `(\w+)`", message):
        return Fault(path, f'the field "{missing[1]}" is missing')
    wanted = next((name for pattern, name in _WANTED if pattern.search(path)), _RECORD)
    if wanted == "an integer token id" and _is_out_of_range(message):
        return Fault(path, _clip(str(value)) if type(value) is int else "the integer", is_id=True)
    is_text = isinstance(value, str) and "token id" in wanted
    return Fault(path, f"expected {wanted}{_describe_got(value)}", is_text=is_text)


def _is_out_of_range(message: str) -> bool:
    return message.startswith(("Integer value out of range", "Expected `int` "))


def _read_value_at(text: bytes, path: str) -> Any:
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


def _describe_got(value: Any) -> str:
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


def _simplify(message: str) -> str:
    return message.removeprefix("JSON is malformed: ").replace("`", "")


VocabSizes: TypeAlias = tuple[int, int] | None
Problem: TypeAlias = tuple[int, RecordError] | None

NO_TOKEN = "is empty, or holds no token that the model knows"
NOT_FINITE = "its encoding holds NaN or infinity"
NEITHER = "holds neither in0 nor in1: give both for scores, one for its embedding"


def find_first_problem(records: Records, vocab_sizes: VocabSizes) -> Problem:
    """The index of the first bad record and what is wrong with it, or None."""
    problems = [_find_side_problem(records), *_find_vocabulary_problems(records, vocab_sizes)]
    return min((p for p in problems if p), key=lambda p: p[0], default=None)


def _find_side_problem(records: Records) -> Problem:
    if records.paired:
        return None
    both, none = records.has0 & records.has1, ~(records.has0 | records.has1)
    odd = np.flatnonzero(none | (both != both[:1]))
    if not len(odd):
        return None
    first = int(odd[0])
    if none[first]:
        return first, RecordError(records.places.of(first), NEITHER)
    return first, make_mixed_error(records, first, records.places.of(0))


def make_mixed_error(records: Records, record: int, other: str) -> RecordError:
    """The error of a record that gives one side where others give both, or the reverse."""
    pair = bool(records.has0[record] and records.has1[record])
    return RecordError(records.places.of(record), describe_mixed(other, pair=pair))


def describe_mixed(other: str, *, pair: bool) -> str:
    """Why a record, a pair or not, cannot stand beside the other."""
    here, there = ("both sides", "only one") if pair else ("only one side", "both")
    return (
        f"gives {here}, but {other} gives {there}: ask for scores (both sides) "
        "and for embeddings (one side) separately"
    )


def find_outside(ids: npt.NDArray[np.integer], vocab_size: int) -> Index:
    """The positions, int64 and in order, of ids outside the vocabulary 0..vocab_size-1.

    >>> find_outside(np.array([4, -1, 5]), 5)
    array([1, 2])
    """
    if are_in_vocabulary(ids, vocab_size):  # no array is made for these
        return np.zeros(0, np.int64)
    return np.flatnonzero((ids < 0) | (ids >= vocab_size))


def are_in_vocabulary(ids: npt.NDArray[np.integer], vocab_size: int) -> bool:
    """Whether all ids are in 0..vocab_size-1."""
    if not len(ids):
        return True
    if ids.dtype == np.int32:  # read without a sign, what is below 0 is larger than any size
        return bool(np.maximum.reduce(ids.view(np.uint32)) < vocab_size)
    return bool(ids.min() >= 0 and ids.max() < vocab_size)


def iterate_outside(
    rows: Ragged, vocab_size: int, most: int | None = None
) -> Iterator[tuple[int, int, int]]:
    """The first `most` ids outside the vocabulary, or all: (id, row, position in it)."""
    at = find_outside(rows.ids, vocab_size)[:most]
    if not len(at):  # even an empty search releases the GIL, and a request waits for it
        return iter(())
    places = (part.tolist() for part in rows.locate(at))
    return zip(rows.ids[at].tolist(), *places, strict=True)


def _find_vocabulary_problems(records: Records, vocab_sizes: VocabSizes) -> Iterator[Problem]:
    sides = ((records.in0, records.has0), (records.in1, records.has1))
    for side, ((ragged, has), size) in enumerate(zip(sides, vocab_sizes or (), strict=False)):
        if are_in_vocabulary(ragged.ids, size):  # as nearly always, and a server waits for this
            continue
        for value, row, position in iterate_outside(ragged, size, most=1):
            record = int(np.flatnonzero(has)[row])
            where = records.places.of(record, f".in{side}[{position}]")
            yield record, RecordError(where, describe_outside(value, size))


def require_in_vocabulary(rows: Ragged, side: int, vocab_size: int) -> None:
    """Checks ids that a caller gives.

    Raises:
        RecordError: names the first id outside the vocabulary.
    """
    for value, record, position in iterate_outside(rows, vocab_size, most=1):
        reason = describe_outside(value, vocab_size)
        raise RecordError(f"record {record}: in{side}[{position}]", reason)


def resolve_max_seq_lens(config: Hyperparameters, max_seq_lens: MaxSeqLens | None) -> MaxSeqLens:
    """The lengths to cut sequences at: `max_seq_lens` if given, else the model's max_seq_len.

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
