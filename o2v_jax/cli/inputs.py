"""Records from a file or standard input: JSON Lines, a JSON document, or text."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from o2v_jax.checkpoint import Model
from o2v_jax.constants import MIB
from o2v_jax.data import (
    DecodeOptions,
    Format,
    Places,
    Records,
    WrongFormatError,
    decode,
    read_lines,
)
from o2v_jax.data.file_types import describe_table, is_document, peek_head, require_text
from o2v_jax.data.labels import parse_labels
from o2v_jax.data.lines import read_bounded_lines, split_chunks
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.tokenizers import NO_VOCABULARY, SIDES, Tokenizer, Tokenizers
from o2v_jax.errors import InputError, RecordError
from o2v_jax.util import decompress, translate_read_errors

LINES_PER_CHUNK = 4096
ENDINGS = {".json": "json", ".tsv": "text", ".txt": "text"}
LARGEST_DOCUMENT_MIB = 100  # as the largest payload of a batch transform; its ids are held at once
_TABLES = "o2v prepare makes JSON Lines of a table"
_WAYS = {
    "CSV": _TABLES,
    "tab-separated text": f"give --format text where it holds texts; {_TABLES}",
}


@contextmanager
def open_input(file: Path) -> Iterator[BinaryIO]:
    """The content of a file, or of standard input for "-", decompressed if it is gzipped.

    Raises:
        InputError: it cannot be opened, or is plainly no text.
    """
    if str(file) == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed: name a file, or pipe records to it")
        yield _open_content(sys.stdin.buffer, show_input(file))
        return
    with translate_read_errors(file):
        stream = file.open("rb")
    with stream:
        yield _open_content(stream, show_input(file))


def _open_content(stream: BinaryIO, name: str) -> BinaryIO:
    with translate_read_errors(name):
        content = decompress(stream)
        require_text(peek_head(content), name)
    return content


def show_input(file: Path) -> str:
    """A file in messages."""
    return "standard input" if str(file) == "-" else str(file)


def choose_form(file: Path, form: str | None) -> str:
    """The form of the input: the one that was named, else by the file's ending, else JSON Lines."""
    plain = file.with_suffix("") if file.suffix == ".gz" else file
    return form or ENDINGS.get(plain.suffix, "jsonl")


def read_records(
    stream: BinaryIO,
    file: Path,
    form: str | None,
    model: Model,
    *,
    labelled: bool | None = False,
    side: Literal[0, 1] = 0,
) -> Iterator[Records]:
    """Records chunk by chunk; those before a bad one come out first.

    Text holds a record a line: two texts, or one, separated by a tab, after the label if
    `labelled`: a number, or the name of a class. An empty line is not a record; one that holds a
    tab is. A line holds at most 6 MiB, a JSON document 100. `side` is that of texts that stand
    alone. Where `labelled` is None, all lines of text hold a label if the first one does, and each
    record of JSON may; the label of one that does not is NaN.

    Raises:
        RecordError: names the file, the line and what is wrong.
        InputError: text was given and the model does not say how it becomes ids, or the input is
            damaged.
    """
    name = show_input(file)
    form = choose_form(file, form)
    if form == "json":
        yield _read_document(stream, name, model, labelled=labelled)
    elif form == "text":
        yield from _read_texts(stream, name, model, labelled=labelled, side=side)
    else:
        yield from _read_json_lines(stream, name, model, labelled=labelled)


def get_tokenizers(model: Model) -> Tokenizers:
    """The model's tokenizers.

    Raises:
        InputError: it has none.
    """
    if model.tokenizers is None:
        raise InputError(NO_VOCABULARY)
    return model.tokenizers


def _read_json_lines(
    stream: BinaryIO, name: str, model: Model, *, labelled: bool | None
) -> Iterator[Records]:
    head = peek_head(stream)
    lines = read_bounded_lines(stream, name)
    try:
        yield from read_lines(
            lines,
            name,
            DecodeOptions.for_model(model.config, model.tokenizers, labelled=labelled),
            chunk_lines=LINES_PER_CHUNK,
        )
    except RecordError as error:
        if is_document(head):
            raise RecordError(name, "is one JSON document: give --format json") from error
        if kind := describe_table(head):
            raise RecordError(error.where, f"looks like {kind}: {_WAYS[kind]}") from error
        raise


def _read_document(stream: BinaryIO, name: str, model: Model, *, labelled: bool | None) -> Records:
    body = _read_whole(stream, name)
    try:
        return decode(
            body,
            Format.JSON,
            DecodeOptions.for_model(model.config, model.tokenizers, labelled=labelled),
        )
    except WrongFormatError as error:
        # what `decode` says of it is for a request, which has a Content-Type
        reason = "the input is JSON Lines: give --format jsonl"
        raise RecordError(f"{name} {error.where}", reason) from error
    except RecordError as error:
        raise RecordError(f"{name} {error.where}", error.reason) from error


def _read_whole(stream: BinaryIO, name: str) -> bytes:
    most = LARGEST_DOCUMENT_MIB * MIB
    with translate_read_errors(name):
        body = stream.read(most + 1)
    if len(body) > most:
        reason = f"a JSON document of more than {LARGEST_DOCUMENT_MIB} MiB is not read"
        raise InputError(
            f"{name}: {reason}: give JSON Lines, a record a line (jq -c '.instances[]')"
        )
    return body


def _read_texts(
    stream: BinaryIO, name: str, model: Model, *, labelled: bool | None, side: Literal[0, 1]
) -> Iterator[Records]:
    get_tokenizers(model)
    for first, chunk in split_chunks(read_bounded_lines(stream, name), LINES_PER_CHUNK):
        numbered = [(n, line) for n, line in enumerate(chunk, first) if line.strip(b"\r\n")]
        if labelled is None and numbered:
            labelled = numbered[0][1].count(b"\t") == 2  # noqa: PLR2004 - label, text and text
        rows = [_split_columns(name, n, line, labelled=bool(labelled)) for n, line in numbered]
        if rows:
            lines_at = np.array([n for n, _ in numbered], np.int64)
            places = Places(name, lines_at)
            yield read_text_rows(rows, model, places, labelled=bool(labelled), side=side)


def _split_columns(name: str, number: int, line: bytes, *, labelled: bool) -> list[str]:
    try:
        columns = line.decode().rstrip("\r\n").split("\t")
    except UnicodeDecodeError as error:
        raise RecordError(f"{name}:{number}", f"is not UTF-8 ({error.reason})") from error
    expected = (3,) if labelled else (1, 2)
    if len(columns) not in expected:
        wanted = "label, text and text" if labelled else "one or two texts"
        reason = f"expected {wanted} separated by tabs, got {len(columns)} columns"
        raise RecordError(f"{name}:{number}", reason)
    return columns


def read_text_rows(
    rows: list[list[str]],
    model: Model,
    places: Places,
    *,
    labelled: bool = False,
    side: Literal[0, 1] = 0,
) -> Records:
    """Records of rows of texts, all of as many columns, the label in front if `labelled`.

    Args:
        rows: the columns of each record.
        model: whose tokenizers and class names they are for.
        places: where each record stood.
        labelled: whether the first column is the label.
        side: of texts that stand alone.

    Raises:
        RecordError: a record is wrong; says where and why.
        InputError: the model has no tokenizers.
    """
    tokenizers = get_tokenizers(model)
    first = (row[0] for row in rows)
    labels = parse_labels(first, model.class_names, places.of) if labelled else None
    texts = [row[1:] for row in rows] if labelled else rows
    pairs = np.array([len(row) == 2 for row in texts])  # noqa: PLR2004 - in0 and in1
    if pairs.any() and not pairs.all():
        at = int((pairs != pairs[0]).argmax())
        raise RecordError(places.of(at), "pairs and single texts cannot be mixed")
    columns = (0, 1) if pairs.any() else (side,)
    found = [
        _tokenize(tokenizers[at], SIDES[at], [row[column] for row in texts], places)
        for column, at in enumerate(columns)
    ]
    given = dict(zip(columns, found, strict=True))
    in0, in1 = (given.get(at, Ragged.of([])) for at in (0, 1))
    has0, has1 = (np.full(len(rows), at in given) for at in (0, 1))
    return Records(in0, in1, labels, has0=has0, has1=has1, places=places)


def _tokenize(tokenizer: Tokenizer, side: str, texts: list[str], places: Places) -> Ragged:
    rows: list[list[int]] = []
    try:
        rows.extend(tokenizer.encode_each(texts))
    except InputError as error:
        raise RecordError(places.of(len(rows), f".{side}"), str(error)) from error
    return Ragged.of(rows)


def require_sides(records: Records, right: npt.NDArray[np.bool_], reason: str) -> None:
    """Checks that records give what is needed, bool `[records]`.

    Raises:
        RecordError: one does not; says where it is and `reason`.
    """
    if not right.all():
        raise RecordError(records.places.of(int((~right).argmax())), reason)
