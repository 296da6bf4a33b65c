"""Results by running servers: payloads are sent, several at a time, and answers kept in order."""

import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import msgspec

from o2v_jax.data import Format
from o2v_jax.errors import InputError, RecordError
from o2v_jax.transform.engines.base import PartResults, Step
from o2v_jax.transform.engines.endpoint_pool import Endpoints, RefusedError
from o2v_jax.transform.prefetch import map_in_order
from o2v_jax.transform.read.parts import Part
from o2v_jax.transform.read.texts import Texts, read_texts
from o2v_jax.transform.settings import FileSettings
from o2v_jax.transform.write.answers import RecordCounts, edit_answers, encode_error

# what a server calls the only record of a request: "line 1 $.in0[3]" or "$.instances[0].in0[3]"
_OWN_PLACE = re.compile(r"^(line 1 \$|\$\.instances\[0\])")
_DIVIDED = {400, 413}  # for a bad record, or for too many


class _Predictions(msgspec.Struct):
    predictions: list[msgspec.Raw]


_PREDICTIONS = msgspec.json.Decoder(_Predictions)


@dataclass
class Payload:
    """The records of one request, and once it is answered their results.

    Attributes:
        texts: of all parts' records; those of the payload are `first`..`last - 1`.
        first: of its records.
        last: behind its records.
        inputs: what results are joined with.
        places: where these were.
        settings: of its file.
        skip: whether bad records get their error as a result.
        errors: what is wrong with records, by row from 0.
        rows: results, by row.
    """

    texts: Texts
    first: int
    last: int
    inputs: list[bytes]
    places: list[str]
    settings: FileSettings
    skip: bool
    errors: dict[int, RecordError] = field(default_factory=dict)
    rows: dict[int, bytes] = field(default_factory=dict)

    def encode(
        self, settings: FileSettings, *, skip: bool, counts: RecordCounts
    ) -> Iterator[bytes]:
        """The results as the answer to one request, joined and filtered where that is asked for."""
        counts.records += self.last - self.first
        counts.errors += len(self.errors)
        for row, error in self.errors.items():
            self.rows[row] = encode_error(error)
        rows = [self.rows[row] for row in range(self.last - self.first)]
        lines = settings.accept is Format.JSON_LINES
        answer = b"\n".join(rows) if lines else b'{"predictions":[' + b",".join(rows) + b"]}"
        if settings.edits:
            yield from edit_answers([answer], self, settings, skip=skip, counts=counts)
        else:
            yield answer + settings.ending


class Remote:
    """Servers that answer as `o2v serve` does. The caller ensures that all have the same model.

    Args:
        endpoints: the servers.
    """

    padding = None
    knows_model = False  # a server does not say which it has

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self.identity = "of " + ", ".join(sorted({server.url for server in endpoints.endpoints}))

    def split_work(
        self, part: Part, name: str, settings: FileSettings, *, skip: bool
    ) -> Iterator[Payload]:
        """The payloads of a part."""
        if settings.parquet:
            raise InputError(f"{name}: is Parquet, which cannot be sent to endpoints: use --model")
        texts = read_texts(part, name, settings)
        if texts.errors and not skip:
            raise texts.errors[min(texts.errors)]
        first = 0
        for number, count in enumerate(texts.counts):
            last = first + count
            if not count and settings.answers_are_rows:
                continue
            some = slice(first, last) if settings.answers_are_rows else slice(number, number + 1)
            inputs, places = zip(*texts.inputs[some], strict=True) if texts.inputs else ((), ())
            known = {n - first: e for n, e in texts.errors.items() if first <= n < last}
            yield Payload(
                texts, first, last, list(inputs), list(places), settings, skip, errors=known
            )
            first = last

    def compute(self, steps: Iterable[Step]) -> Generator[tuple[Step, PartResults | None]]:
        """Sends payloads while others are on their way."""
        most = self._endpoints.concurrent * len(self._endpoints.endpoints)
        stop = self._endpoints.close
        with closing(
            map_in_order(self._answer_step, steps, ahead=most, threads=most, stop=stop)
        ) as sent:
            yield from sent

    def _answer_step(self, step: Step) -> tuple[Step, PartResults | None]:
        payload = step.work
        if payload is None:
            return step, None
        try:
            rows = [r for r in range(payload.last - payload.first) if r not in payload.errors]
            self._send(payload, rows)
        except RecordError as error:
            return step._replace(work=None, error=error), None
        return step, payload

    def _send(self, payload: Payload, rows: list[int]) -> None:
        """Sends these rows; if they are refused, sends halves of them to find the bad one."""
        if not rows:
            return
        settings = payload.settings
        body = _join_body(
            [payload.texts.texts[payload.first + row] for row in rows], settings.content
        )
        try:
            answer = self._endpoints.invoke(body, settings.content_type, settings.accept)
        except RefusedError as error:
            if error.status not in _DIVIDED:
                raise
            if len(rows) > 1:
                half = len(rows) // 2
                self._send(payload, rows[:half])
                self._send(payload, rows[half:])
                return
            _blame(payload, rows[0], error.message)
            return
        payload.rows.update(
            zip(rows, _split_answer(answer, settings.accept, len(rows)), strict=True)
        )


def _blame(payload: Payload, row: int, message: str) -> None:
    place = payload.texts.place_of(payload.first + row)
    where, _, reason = _OWN_PLACE.sub("", message, count=1).partition(": ")
    own = _OWN_PLACE.match(message)
    error = RecordError(place + where, reason) if own else RecordError(place, message)
    if not payload.skip:
        raise error
    payload.errors[row] = error


def _join_body(texts: list[bytes], content: Format) -> bytes:
    if content is Format.JSON_LINES:
        return b"\n".join(texts)
    return b'{"instances":[' + b",".join(texts) + b"]}"


def _split_answer(answer: bytes, accept: Format, expected: int) -> list[bytes]:
    """The results of an answer."""
    if accept is Format.JSON_LINES:
        rows = [line for line in answer.split(b"\n") if line and not line.isspace()]
    else:
        try:
            rows = [bytes(raw) for raw in _PREDICTIONS.decode(answer).predictions]
        except ValueError as error:
            raise InputError(
                f"a server's answer is not an Object2Vec response ({error})"
            ) from error
    if len(rows) != expected:
        raise InputError(f"a server gave {len(rows)} results for {expected} records")
    return rows
