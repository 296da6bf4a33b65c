"""Records from a file or standard input: JSON Lines, a JSON document, or text."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from o2v_jax.checkpoint import Model
from o2v_jax.errors import InputError, RecordError
from o2v_jax.ragged import Ragged
from o2v_jax.records import Format, Places, Records, decode, read_lines, sniff
from o2v_jax.vocabulary import Vocabulary

CHUNK = 4096
ENDINGS = {".json": "json", ".tsv": "text", ".txt": "text"}


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """The file, or standard input for "-".

    Raises:
        InputError: it cannot be opened.
    """
    if str(file) == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed: name a file, or pipe records to it")
        yield sys.stdin.buffer
        return
    try:
        stream = file.open("rb")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    with stream:
        yield stream


def form_of(file: Path, form: str | None) -> str:
    """The form of the input: the one that was named, else by the file's ending, else JSON Lines."""
    return form or ENDINGS.get(file.suffix, "jsonl")


def read_records(
    stream: BinaryIO, file: Path, form: str | None, model: Model, *, labelled: bool = False
) -> Iterator[Records]:
    """Records chunk by chunk; those before a bad one come out first.

    Text holds a record a line: two texts, or one, separated by a tab, after the label if
    `labelled`. A line without anything is no record; one that holds a tab is.

    Raises:
        RecordError: names the file, the line and what is wrong.
        InputError: text was given and the model has no vocabulary.
    """
    name = "standard input" if str(file) == "-" else str(file)
    sizes = model.config.encoder(0).vocab_size, model.config.encoder(1).vocab_size
    form = form_of(file, form)
    if form == "json":
        yield _document(stream, name, sizes, labelled=labelled)
    elif form == "text":
        yield from _texts(stream, name, required(model.vocabulary), labelled=labelled)
    else:
        yield from read_lines(stream, name, vocab_sizes=sizes, labelled=labelled, chunk_lines=CHUNK)


def required(vocabulary: Vocabulary | None) -> Vocabulary:
    """The model's vocabulary.

    Raises:
        InputError: it has none.
    """
    if vocabulary is None:
        raise InputError("this model has no vocab.json, so it reads token ids and not text")
    return vocabulary


def _document(stream: BinaryIO, name: str, sizes: tuple[int, int], *, labelled: bool) -> Records:
    body = stream.read()
    try:
        return decode(body, Format.JSON, vocab_sizes=sizes, labelled=labelled)
    except RecordError as error:
        is_lines = sniff(body) is Format.JSON_LINES
        # what `decode` says of it is for a request, which has a Content-Type
        reason = "the input is JSON Lines: give --format jsonl" if is_lines else error.reason
        raise RecordError(f"{name} {error.where}", reason) from error


def _texts(
    stream: Iterable[bytes], name: str, vocabulary: Vocabulary, *, labelled: bool
) -> Iterator[Records]:
    lines, first = iter(stream), 1
    while chunk := list(islice(lines, CHUNK)):
        numbered = [(n, line) for n, line in enumerate(chunk, first) if line.strip(b"\r\n")]
        rows = [_columns(name, n, line, labelled=labelled) for n, line in numbered]
        if rows:
            lines_at = np.array([n for n, _ in numbered], np.int64)
            yield text_records(rows, vocabulary, Places(name, lines_at), labelled=labelled)
        first += len(chunk)


def _columns(name: str, number: int, line: bytes, *, labelled: bool) -> list[str]:
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


def text_records(
    rows: list[list[str]], vocabulary: Vocabulary, places: Places, *, labelled: bool = False
) -> Records:
    """Records of rows of texts, all of as many columns, the label in front if `labelled`."""
    labels = _labels(rows, places) if labelled else None
    texts = [row[1:] for row in rows] if labelled else rows
    pairs = np.array([len(row) == 2 for row in texts])  # noqa: PLR2004 - in0 and in1
    if pairs.any() and not pairs.all():
        at = int((pairs != pairs[0]).argmax())
        raise RecordError(places.of(at), "pairs and single texts cannot be mixed")
    in0 = Ragged.of([vocabulary.encode(row[0]) for row in texts])
    in1 = Ragged.of([vocabulary.encode(row[1]) for row in texts if len(row) > 1])
    return Records(in0, in1, np.ones(len(rows), np.bool_), pairs, labels, places)


def _labels(
    rows: list[list[str]], places: Places
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    labels = np.empty(len(rows), np.float64)
    for at, row in enumerate(rows):
        try:
            labels[at] = float(row[0])
        except ValueError:
            raise RecordError(places.of(at), f"the label {row[0]!r} is not a number") from None
    return labels
