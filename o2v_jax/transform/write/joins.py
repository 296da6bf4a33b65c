"""Joins and filters of single records, as SageMaker's batch transform does them to JSON.

The standard library's `json` keeps integers and numbers of any length as they are.
"""

import json
from typing import Any

from o2v_jax.errors import InputError
from o2v_jax.transform.settings import FileSettings
from o2v_jax.transform.write.jsonpath import Filter

INPUT = "SageMakerInput"
OUTPUT = "SageMakerOutput"


def apply_filter(text: bytes, path: Filter | None) -> bytes:
    """What a filter leaves of a JSON text.

    Raises:
        InputError: it is not JSON, or the filter finds nothing in it.
    """
    return text if path is None else _write_json(path(_read_json(text)))


def edit_answer(answer: bytes, given: bytes | None, settings: FileSettings) -> bytes:
    """A result joined with its input, if there is one, and filtered.

    Raises:
        InputError: the filter finds nothing.

    >>> from o2v_jax.transform import TransformSettings
    >>> from pathlib import Path
    >>> settings = TransformSettings(join="Input", output_filter="$['id','SageMakerOutput']")
    >>> edit_answer(b'{"scores":[0.5]}', b'{"id": 7, "in0": [1]}', settings.of(Path("a.jsonl")))
    b'{"id":7,"SageMakerOutput":{"scores":[0.5]}}'
    """
    value = _read_json(answer)
    if given is not None:
        try:
            before = _read_json(given)
        except InputError:  # its own error is the result, and there is nothing to join it with
            return answer
        joined = before if isinstance(before, dict) else {INPUT: before}
        value = joined | {OUTPUT: value}
    return _write_json(value if settings.output_filter is None else settings.output_filter(value))


def _read_json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not valid JSON: {error}") from error


def _write_json(value: Any) -> bytes:
    try:
        try:
            return _dump_json(value, ascii=False).encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can hold
            return _dump_json(value, ascii=True).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(f"cannot be written as JSON: {error}") from error


def _dump_json(value: Any, *, ascii: bool) -> str:  # noqa: A002 - as json has it
    return json.dumps(value, ensure_ascii=ascii, allow_nan=False, separators=(",", ":"))
