"""Rows -> results -> bytes. Everything between the text of a part and that of its results."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from o2v_jax.errors import InputError, RecordError
from o2v_jax.ragged import offsets_of
from o2v_jax.records import Format, encode_rows
from o2v_jax.transform.editing import edited
from o2v_jax.transform.reading import Part
from o2v_jax.transform.rows import Rows, rows_of
from o2v_jax.transform.settings import FileSettings

if TYPE_CHECKING:
    from o2v_jax.scoring import Scorer

Floats: TypeAlias = npt.NDArray[np.float32]
Key: TypeAlias = Literal["scores", "embeddings"]

_BAD, _SINGLE, _PAIR = -1, 0, 1


class Results(NamedTuple):
    """What a model says of rows.

    Attributes:
        rows: they.
        scores: float32 `[pairs, outputs]`.
        embeddings: float32 `[single sides, enc_dim]`.
    """

    rows: Rows
    scores: Floats
    embeddings: Floats


@dataclass
class Tally:
    """Records counted while their results are written."""

    records: int = 0
    errors: int = 0


def transformed(
    part: Part, name: str, settings: FileSettings, scorer: "Scorer", *, skip: bool, tally: Tally
) -> Iterator[bytes]:
    """All of a part's way: its results' text, in pieces. Depends on nothing else, anywhere.

    Args:
        part: of a file.
        name: the file's, for messages.
        settings: for this file.
        scorer: computes.
        skip: whether a bad record gets `{"error": ...}` as its result.
        tally: is added to.

    Raises:
        RecordError: the first bad record, if they are not skipped.
    """
    for rows in slices_of(part, name, settings, scorer, skip=skip):
        yield from written(results_of(rows, scorer), settings, skip=skip, tally=tally)


def slices_of(
    part: Part, name: str, settings: FileSettings, scorer: "Scorer", *, skip: bool
) -> Iterator[Rows]:
    """What is scored together, in order.

    Raises:
        RecordError: as `transformed`.
    """
    config = scorer.config
    vocab_sizes = config.encoder(0).vocab_size, config.encoder(1).vocab_size
    rows = rows_of(part, name, settings, vocab_sizes)
    if rows.errors and not skip:
        raise rows.errors[min(rows.errors)]
    numbers = config.outputs if rows.paired.all() else config.enc_dim
    yield from rows.slices(settings, numbers)


def results_of(rows: Rows, scorer: "Scorer") -> Results:
    """Scores pairs and embeds single sides."""
    records, paired = rows.records, rows.paired
    if paired.all():
        return Results(rows, scorer.score(records.in0, records.in1), _none(scorer.config.enc_dim))
    pairs = [records.in0.take(_numbers(records.has0, paired))]
    pairs.append(records.in1.take(_numbers(records.has1, paired)))
    only0, only1 = records.has0 & ~paired, records.has1 & ~paired
    embeddings = np.empty((len(records), scorer.config.enc_dim), np.float32)
    if only0.any():
        embeddings[only0] = scorer.embed(in0=records.in0.take(_numbers(records.has0, only0)))
    if only1.any():
        embeddings[only1] = scorer.embed(in1=records.in1.take(_numbers(records.has1, only1)))
    scores = scorer.score(*pairs) if paired.any() else _none(scorer.config.outputs)
    return Results(rows, scores, embeddings[~paired] if paired.any() else embeddings)


def written(
    results: Results, settings: FileSettings, *, skip: bool, tally: Tally
) -> Iterator[bytes]:
    """The text of results, joined and filtered if so.

    Raises:
        RecordError: as `transformed`.
        InputError: the model gave a value that JSON cannot express.
    """
    if not (np.isfinite(results.scores).all() and np.isfinite(results.embeddings).all()):
        raise InputError("the model gave values that are not finite")
    tally.records += len(results.rows)
    tally.errors += len(results.rows.errors)
    answers = Answers(results, lines=settings.accept is Format.JSON_LINES)
    if settings.edits:
        yield from _edited(answers, settings, skip=skip, tally=tally)
        return
    for payload in range(len(answers)):
        yield from answers.pieces(payload)
        yield settings.ending


def error_row(error: RecordError) -> bytes:
    """The result of a bad record."""
    return orjson.dumps({"error": str(error)})


def _edited(
    answers: "Answers", settings: FileSettings, *, skip: bool, tally: Tally
) -> Iterator[bytes]:
    rows, texts = answers.rows, [b"".join(answers.pieces(n)) for n in range(len(answers))]
    if settings.answers_are_rows:
        texts = [line for text in texts for line in text.split(b"\n")]
    for number, text in enumerate(texts):
        if settings.answers_are_rows and number in rows.errors:
            yield text + settings.ending
            continue
        try:
            row = edited(text, rows.inputs[number] if settings.join else None, settings)
        except InputError as error:
            problem = RecordError(rows.places[number], f"--output-filter: {error}")
            if not skip:
                raise problem from error
            tally.errors += 1
            row = error_row(problem)
        yield row + settings.ending


class Answers:
    """The answers to payloads, as text.

    Args:
        results: of all of them.
        lines: whether an answer is JSON Lines, without a final end of line, or a JSON document.
    """

    def __init__(self, results: Results, *, lines: bool) -> None:
        self.rows, self._results = results.rows, results
        self._around = (b"", b"\n", b"") if lines else (b'{"predictions":[', b",", b"]}")
        self._kinds = np.full(len(self.rows), _BAD, np.int8)
        self._kinds[self.rows.good] = self.rows.paired
        self._edges = np.flatnonzero(np.diff(self._kinds)) + 1
        # how many of a kind stand before each row
        self._before = {kind: offsets_of(self._kinds == kind) for kind in (_SINGLE, _PAIR)}

    def __len__(self) -> int:
        return len(self.rows.bounds) - 1

    def pieces(self, payload: int) -> Iterator[bytes]:
        """One answer, in pieces of a few hundred KB."""
        start, between, end = self._around
        first, last = self.rows.bounds[payload : payload + 2].tolist()
        inside = self._edges[slice(*np.searchsorted(self._edges, (first + 1, last)))].tolist()
        edges = [first, *inside, last] if first < last else []
        yield start
        for begin, stop in pairwise(edges):
            if begin > first:
                yield between
            yield from self._alike(begin, stop, between)
        yield end

    def _alike(self, first: int, last: int, between: bytes) -> Iterator[bytes]:
        """The results of neighbours of one kind."""
        kind = int(self._kinds[first])
        if kind == _BAD:
            yield between.join(error_row(self.rows.errors[row]) for row in range(first, last))
            return
        values = self._results.scores if kind == _PAIR else self._results.embeddings
        before = self._before[kind]
        key: Key = "scores" if kind == _PAIR else "embeddings"
        yield from encode_rows(values[before[first] : before[last]], key, between)


def _numbers(has: npt.NDArray[np.bool_], wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.integer]:
    """The numbers, among the records that have a side, of those that are wanted."""
    return np.flatnonzero(wanted[has])


def _none(numbers: int) -> Floats:
    return np.zeros((0, numbers), np.float32)
