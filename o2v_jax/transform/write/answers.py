"""Scores the rows of a part, and encodes the results."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import orjson

from o2v_jax.array_types import Floats
from o2v_jax.data import DecodeOptions, Format, encode_rows
from o2v_jax.data.encoding import ResultKey
from o2v_jax.data.ragged import offsets_of
from o2v_jax.errors import InputError, RecordError
from o2v_jax.transform.read.parts import Part
from o2v_jax.transform.read.rows import PayloadRows, read_rows
from o2v_jax.transform.settings import FileSettings
from o2v_jax.transform.write.joins import edit_answer

if TYPE_CHECKING:
    from o2v_jax.hyperparameters import Hyperparameters
    from o2v_jax.scoring import Scorer


class Joined(Protocol):
    """What answers are joined with, by number, and which are errors: `PayloadRows`."""

    @property
    def errors(self) -> Mapping[int, RecordError]:
        """By row."""

    @property
    def inputs(self) -> Sequence[bytes]:
        """By row, or by answer where that is a document."""

    @property
    def places(self) -> Sequence[str]:
        """Of the inputs."""


_BAD = -1
_SINGLE = 0
_PAIR = 1


@dataclass
class RecordCounts:
    """Records counted while their results are written."""

    records: int = 0
    errors: int = 0


class Results(NamedTuple):
    """A model's results for rows.

    Attributes:
        rows: the input rows.
        scores: float32 `[pairs, outputs]`.
        embeddings: float32 `[single sides, enc_dim]`.
    """

    rows: PayloadRows
    scores: Floats
    embeddings: Floats

    def encode(
        self, settings: FileSettings, *, skip: bool, counts: RecordCounts
    ) -> Iterator[bytes]:
        """Yields the encoded results, joined and filtered, in pieces, and adds to `counts`.

        Raises:
            RecordError: a filter finds nothing, and such records are not skipped.
            InputError: the model gave a value that JSON cannot express.
        """
        if not (np.isfinite(self.scores).all() and np.isfinite(self.embeddings).all()):
            raise InputError("the model gave values that are not finite")
        counts.records += len(self.rows)
        counts.errors += len(self.rows.errors)
        answers = Answers(self, lines=settings.accept is Format.JSON_LINES)
        if settings.edits:
            texts = [b"".join(answers.encode_payload(payload)) for payload in range(len(answers))]
            yield from edit_answers(texts, self.rows, settings, skip=skip, counts=counts)
            return
        for payload in range(len(answers)):
            yield from answers.encode_payload(payload)
            yield settings.ending


def read_slices(
    part: Part,
    name: str,
    settings: FileSettings,
    config: "Hyperparameters",
    options: DecodeOptions,
    *,
    skip: bool,
) -> Iterator[PayloadRows]:
    """Yields the rows that are scored together, in order.

    Raises:
        RecordError: the first bad record, if they are not skipped.
    """
    rows = read_rows(part, name, settings, options)
    if rows.errors and not skip:
        raise rows.errors[min(rows.errors)]
    numbers = config.outputs if rows.paired.all() else config.enc_dim
    yield from rows.split(settings, numbers)


def compute_results(
    rows: PayloadRows, scorer: "Scorer", max_seq_lens: tuple[int, int] | None = None
) -> Results:
    """Scores pairs and embeds single sides, which are cut at `max_seq_lens` if given.

    Raises:
        InputError: these are not two lengths in 1..5000.
    """
    records = rows.records
    paired = rows.paired
    longest = max_seq_lens
    if paired.all():
        scores = scorer.score(records.in0, records.in1, max_seq_lens=longest)
        return Results(rows, scores, _make_empty(scorer.config.enc_dim))
    pairs = [records.in0.take(_find_numbers(records.has0, paired))]
    pairs.append(records.in1.take(_find_numbers(records.has1, paired)))
    only0 = records.has0 & ~paired
    only1 = records.has1 & ~paired
    embeddings = np.empty((len(records), scorer.config.enc_dim), np.float32)
    if only0.any():
        in0 = records.in0.take(_find_numbers(records.has0, only0))
        embeddings[only0] = scorer.embed(in0=in0, max_seq_lens=longest)
    if only1.any():
        in1 = records.in1.take(_find_numbers(records.has1, only1))
        embeddings[only1] = scorer.embed(in1=in1, max_seq_lens=longest)
    scores = _make_empty(scorer.config.outputs)
    if paired.any():
        scores = scorer.score(*pairs, max_seq_lens=longest)
    return Results(rows, scores, embeddings[~paired] if paired.any() else embeddings)


def encode_error(error: RecordError) -> bytes:
    """The result of a bad record."""
    return orjson.dumps({"error": str(error)})


def edit_answers(
    answers: list[bytes],
    joined: Joined,
    settings: FileSettings,
    *,
    skip: bool,
    counts: RecordCounts,
) -> Iterator[bytes]:
    """Answers joined with their inputs and filtered, as `settings` has it.

    Raises:
        RecordError: a filter finds nothing, and such records are not skipped.
    """
    if settings.answers_are_rows:
        answers = [line for answer in answers for line in answer.split(b"\n")]
    for number, answer in enumerate(answers):
        if settings.answers_are_rows and number in joined.errors:
            yield answer + settings.ending
            continue
        try:
            row = edit_answer(answer, joined.inputs[number] if settings.join else None, settings)
        except InputError as error:
            reason = f"--output-filter: {error}" if settings.output_filter else str(error)
            problem = RecordError(joined.places[number], reason)
            if not skip:
                raise problem from error
            counts.errors += 1
            row = encode_error(problem)
        yield row + settings.ending


class Answers:
    """The answers to payloads, as text.

    Args:
        results: of all of them.
        lines: whether an answer is JSON Lines, without a final end of line, or a JSON document.
    """

    def __init__(self, results: Results, *, lines: bool) -> None:
        self.rows = results.rows
        self._results = results
        self._around = (b"", b"\n", b"") if lines else (b'{"predictions":[', b",", b"]}")
        self._kinds = np.full(len(self.rows), _BAD, np.int8)
        self._kinds[self.rows.good] = self.rows.paired
        self._edges = np.flatnonzero(np.diff(self._kinds)) + 1
        # how many of a kind are before each row
        self._before = {kind: offsets_of(self._kinds == kind) for kind in (_SINGLE, _PAIR)}

    def __len__(self) -> int:
        return len(self.rows.bounds) - 1

    def encode_payload(self, payload: int) -> Iterator[bytes]:
        """One answer, in pieces of a few hundred KB."""
        start, between, end = self._around
        first, last = self.rows.bounds[payload : payload + 2].tolist()
        inside = self._edges[slice(*np.searchsorted(self._edges, (first + 1, last)))].tolist()
        edges = [first, *inside, last] if first < last else []
        yield start
        for begin, stop in pairwise(edges):
            if begin > first:
                yield between
            yield from self._encode_alike(begin, stop, between)
        yield end

    def _encode_alike(self, first: int, last: int, between: bytes) -> Iterator[bytes]:
        """The results of consecutive rows of one kind."""
        kind = int(self._kinds[first])
        if kind == _BAD:
            yield between.join(encode_error(self.rows.errors[row]) for row in range(first, last))
            return
        values = self._results.scores if kind == _PAIR else self._results.embeddings
        before = self._before[kind]
        key: ResultKey = "scores" if kind == _PAIR else "embeddings"
        yield from encode_rows(values[before[first] : before[last]], key, between)


def _find_numbers(
    has: npt.NDArray[np.bool_], wanted: npt.NDArray[np.bool_]
) -> npt.NDArray[np.integer]:
    """The numbers, among the records that have a side, of those that are wanted."""
    return np.flatnonzero(wanted[has])


def _make_empty(numbers: int) -> Floats:
    return np.zeros((0, numbers), np.float32)
