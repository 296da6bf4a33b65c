"""Rows from JSON Lines and JSON documents."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import orjson
import pyarrow as pa

from o2v_jax.data.negatives import NO_NEGATIVES, Negatives
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.records import LabelValues
from o2v_jax.errors import InputError
from o2v_jax.preparation.read.lines import CONVERT, open_lines
from o2v_jax.preparation.rows import (
    ROWS_PER_CHUNK,
    Cells,
    NoRowsError,
    Rows,
    describe_columns,
    make_place_template,
    to_index,
)
from o2v_jax.preparation.skipped_rows import SkippedRows

_JSON = msgspec.json.Decoder(dict[str, Any])
_MOST_KEYS = 1000  # that are gathered for a message
_INT64 = range(-(2**63), 2**63)

# line -> the object in it
Object: TypeAlias = tuple[int, dict[str, Any]]
# what a value is: numbers and strings are lists of such; empty fits any column
ValueType: TypeAlias = Literal["empty", "text", "numbers", "strings", "other"]
_SHOWN: dict[ValueType, str] = {
    "text": "a string or a number",
    "numbers": "a list of numbers",
    "strings": "a list of strings",
    "other": "neither text nor a list of numbers or strings",
}


def read_json_lines(file: Path, wanted: Sequence[str], problems: SkippedRows) -> Iterator[Rows]:
    """The wanted keys of a file's objects: lists as they are, anything else as text, null as "".

    Args:
        file: gzip is recognized by its first bytes, not by the name.
        wanted: keys. A record may lack one: its cell is empty.
        problems: collects lines that are not objects, and values of another kind than the first
            value of their key.

    Raises:
        NoRowsError: the file has nothing but blank lines.
        InputError: the file cannot be read, or none of its first records has a wanted key.
        RecordError: a line is longer than 64 MiB.
    """
    places = make_place_template(file, ":")
    kinds = dict[str, ValueType]()
    before = problems.count
    with open_lines(file) as lines:
        objects = _read_objects(file, lines, problems)
        chunk = list(islice(objects, ROWS_PER_CHUNK))
        if not chunk and problems.count == before:
            raise NoRowsError(f"{file}: is empty")
        _require_keys(file, chunk, wanted)
        while chunk:
            kept = list(_split_alike(file, chunk, wanted, kinds, problems))
            columns = tuple(
                _make_column([row.get(key) for _, row in kept], kinds, key) for key in wanted
            )
            yield Rows(places, to_index([number for number, _ in kept]), columns)
            chunk = list(islice(objects, ROWS_PER_CHUNK))


def _read_objects(file: Path, lines: Iterator[bytes], problems: SkippedRows) -> Iterator[Object]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield number, _JSON.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            problems.report(f"{file}:{number}", _explain(error, line))


def _explain(error: Exception, line: bytes) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8: {CONVERT}"
    if line.lstrip().startswith(b"["):
        return "a JSON array begins here, but JSON Lines hold an object a line (jq -c '.[]')"
    if line.strip() == b"{":
        return "an object is spread over several lines: write each in a line of its own (jq -c .)"
    return f"is not a JSON object ({error})"


def _require_keys(file: Path, first: Sequence[Object], wanted: Sequence[str]) -> None:
    keys = dict.fromkeys(
        islice((key for _, row in first for key in row), _MOST_KEYS * ROWS_PER_CHUNK)
    )
    for key in wanted:
        if first and key not in keys:
            raise InputError(f"{file}: there is no column {key!r}; {describe_columns([*keys])}")


def _split_alike(
    file: Path,
    chunk: Sequence[Object],
    wanted: Sequence[str],
    kinds: dict[str, ValueType],
    problems: SkippedRows,
) -> Iterator[Object]:
    """The objects whose values are of the same kind as the first value of their key."""
    for number, row in chunk:
        reasons = (_explain_odd(row.get(key), key, kinds) for key in wanted)
        reason = next(filter(None, reasons), None)
        if reason is None:
            yield number, row
        else:
            problems.report(f"{file}:{number}", reason)


def _explain_odd(value: Any, key: str, kinds: dict[str, ValueType]) -> str | None:
    kind = _classify(value)
    if kind == "empty":
        return None
    if kind == "other":
        return f"{key!r} is {_SHOWN[kind]}"
    first = kinds.setdefault(key, kind)
    return None if kind == first else f"{key!r} is {_SHOWN[kind]}, but {_SHOWN[first]} before"


def _classify(value: Any) -> ValueType:
    if value is None:
        return "empty"
    if isinstance(value, str | int | float):
        return "text"
    if isinstance(value, list):
        types = {*map(type, value)} - {type(None)}
        if not types:
            return "empty"
        if types == {str}:
            return "strings"
        if types <= {int, float} and all(
            type(n) is float or n is None or n in _INT64 for n in value
        ):
            return "numbers"
    return "other"


def _make_column(values: Sequence[Any], kinds: dict[str, ValueType], key: str) -> Cells:
    kind = kinds.get(key, "text")
    if kind == "strings":
        return pa.array(values, pa.list_(pa.string()))
    if kind == "numbers":
        numbers = (number for row in values for number in row or ())
        has_float = any(type(number) is float for number in numbers)
        return pa.array(values, pa.list_(pa.float64() if has_float else pa.int64()))
    return pa.array([*map(_spell, values)], pa.string())


def _spell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else ""


def format_json_lines(
    labels: LabelValues, in0: Ragged, in1: Ragged, negatives: Negatives = NO_NEGATIVES
) -> bytes:
    r"""One JSON object a line; labels that are integers without a fraction.

    >>> import numpy as np
    >>> format_json_lines(np.array([2.0]), Ragged.of([[3, 1]]), Ragged.of([[4]]))
    b'{"label":2,"in0":[3,1],"in1":[4]}\n'
    """
    numbers = map(_shorten_number, labels.tolist())
    records = [
        {"label": label, "in0": one, "in1": two}
        for label, one, two in zip(numbers, in0.to_lists(), in1.to_lists(), strict=True)
    ]
    for record, row in zip(negatives.records.tolist(), negatives.rows.to_lists(), strict=True):
        records[record].setdefault("negatives", []).append(row)
    return b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in records)


def _shorten_number(label: float) -> float:
    return int(label) if label.is_integer() and abs(label) < 2**53 else label
