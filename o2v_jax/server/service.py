"""One model behind the contract: bytes in, bytes out. Knows no Flask.

Bodies are decoded, checked and cut by whoever brings a request, and answers are encoded there; only
`Batcher` asks the scorer. Each step has its own bound, and what is beyond it is refused
at once: uploads (a slow one keeps nobody from scoring), requests, their records, and the numbers of
long answers, which are sent piece by piece.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from threading import Semaphore
from time import perf_counter
from typing import IO, TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from o2v_jax.data import Format, Records, decode, encode, encode_pieces, sniff
from o2v_jax.data.validate import cut_lengths
from o2v_jax.errors import LONGEST_REQUEST, O2VError, RecordError
from o2v_jax.server import http
from o2v_jax.server.batcher import PATIENCE_S, PLENTY, Batcher, BatchFailedError
from o2v_jax.server.health import Health, State, device_bytes
from o2v_jax.server.http import (
    BusyError,
    TooLargeError,
    choose_format,
    read_body,
    read_content_type,
)
from o2v_jax.server.limits import RECORDS, REQUESTS, STREAMS, UPLOADS, Permits
from o2v_jax.server.metrics import Live, Metrics
from o2v_jax.server.protocol import Lengths, ScorerLike
from o2v_jax.server.settings import Settings
from o2v_jax.server.work import Floats, Kind, Sides, Work

if TYPE_CHECKING:
    from o2v_jax.scoring import Layout

Key: TypeAlias = Literal["scores", "embeddings"]

MAX_NUMBERS = 2**26  # in an answer: 256 MiB of float32, three times as much as text
LONG_ANSWER = 2**16  # numbers of the longest answer that is sent as a whole
LONG_BODY = 2**16  # bytes of the longest body that is decoded whatever else is


@dataclass(frozen=True)
class Begun:
    """A request whose records are queued.

    Attributes:
        records: decoded and checked.
        works: the batcher's; none of no records.
        format: of the answer.
        held: what a long answer keeps until it is sent; None for others.
    """

    records: Records
    works: Sequence[Work]
    format: Format
    held: ExitStack | None


@dataclass(frozen=True)
class Answer:
    """The body of an answer, whole or in pieces; `close` it once it is sent, or given up."""

    body: bytes | Iterator[bytes]
    format: Format
    close: Callable[[], None] = lambda: None


class Service:
    """Answers invocations with one model, and notes how its devices fare in `health`.

    Args:
        scorers: of the model, one for each device.
        settings: of the server.
    """

    def __init__(self, scorers: Sequence[ScorerLike], settings: Settings) -> None:
        self.scorers, self.settings, self.health = scorers, settings, Health()
        self.config, self.metrics = scorers[0].config, Metrics(self._live)
        computes = [partial(self._infer, device) for device in range(len(scorers))]
        share = largest_program(scorers[0].layout)
        self.batcher = Batcher(computes, share, self.metrics.batch, plenty=PLENTY)
        sizes = [self.config.encoder(side).vocab_size for side in (0, 1)]
        self._vocab_sizes = sizes[0], sizes[1]
        self._own_lengths = cut_lengths(self.config, None)
        self._uploads, self._requests = Permits(UPLOADS), Permits(REQUESTS)
        self._records = Permits(RECORDS, always=settings.max_concurrent)
        self._numbers = Permits(settings.max_concurrent * MAX_NUMBERS)
        self._decoding = Semaphore(settings.max_concurrent)

    @property
    def ready(self) -> bool:
        """Whether requests will be answered, and quickly."""
        return self.health.state is State.READY and self.batcher.alive

    @property
    def full(self) -> bool:
        """Whether the next request would be refused whatever it holds."""
        return self._requests.free < 1

    @property
    def sending(self) -> bool:
        """Whether long answers are on their way."""
        return self._numbers.held

    def warm(self) -> None:
        """Compiles in a thread of its own: ready after the first programs, then all others."""
        self.health.warm(
            lambda: [scorer.warm_first() for scorer in self.scorers],
            lambda: [scorer.warm(longer=True) for scorer in self.scorers],
        )

    def close(self) -> None:
        """Ends the batch at hand and refuses all other work, for good."""
        self.batcher.close()

    def read(self, stream: IO[bytes], announced: int | None) -> bytes:
        """Reads a body, unless there are enough uploads already; holds the thread meanwhile.

        Args:
            stream: the body.
            announced: Content-Length, if there is one.

        Raises:
            InputError: as `read_body`; `BusyError` at once, not a byte read.
        """
        with self.uploading():
            return read_body(stream, announced, self.settings.max_body_bytes)

    def uploading(self) -> AbstractContextManager[None]:
        """A place for a body on its way; `BusyError` at once if there is none."""
        return self._uploads.taken()

    def answer(self, body: bytes, content_type: str | None, accept: str | None) -> Answer:
        """Scores pairs, or embeds single sides, whichever the records hold.

        Raises:
            RecordError, InputError: the request is wrong, or the server is busy.
            BatchFailedError: the records could not be scored.
        """
        with self.begun(body, content_type, accept) as begun:
            return self.finished(begun)

    @contextmanager
    def begun(
        self,
        body: bytes,
        content_type: str | None,
        accept: str | None,
        resolved: Callable[[], None] = lambda: None,
    ) -> Iterator[Begun]:
        """The first half of `answer`: a request that is queued, for as long as the block lasts.

        `resolved` is called for each of its works when that waits no more, as by `Batcher.submit`.

        Raises:
            RecordError, InputError: as `answer`.
        """
        sent = read_content_type(content_type)
        format_in = sent.format or sniff(body)
        format_out = choose_format(accept, self.settings.default_accept or format_in)
        with self._requests.taken():
            records = self._decode(body, format_in)
            numbers = self._numbers_of(records)
            with self._records.taken(len(records)), self._holding(numbers) as held:
                works = self._submitted(records, sent.max_seq_lens, resolved)
                yield Begun(records, works, format_out, held)

    def finished(self, begun: Begun) -> Answer:
        """The second half: waits for what is not resolved yet, and raises as `answer`."""
        key, values = self._results(begun)
        if begun.held:
            pieces = encode_pieces(values, key, begun.format)  # what is wrong is known by now
            return Answer(self._timed(pieces), begun.format, begun.held.pop_all().close)
        with _Timing(self.metrics.encode.observe):
            return Answer(encode(values, key, begun.format), begun.format)

    def _decode(self, body: bytes, format_in: Format) -> Records:
        with self._decoder(len(body)), _Timing(self.metrics.parse.observe):
            return decode(body, format_in, vocab_sizes=self._vocab_sizes)

    def _decoder(self, length: int) -> AbstractContextManager[None]:
        """Has the few long bodies decoded at a time: meanwhile each takes many times its size."""
        return nullcontext() if length <= LONG_BODY else self._long_decoder()

    @contextmanager
    def _long_decoder(self) -> Iterator[None]:
        if not self._decoding.acquire(timeout=PATIENCE_S):
            raise BusyError(f"the server was busy for {PATIENCE_S} s: try again later")
        try:
            yield
        finally:
            self._decoding.release()

    def _numbers_of(self, records: Records) -> int:
        width = self.config.outputs if records.paired else self.config.enc_dim
        numbers = len(records) * width
        if numbers > MAX_NUMBERS:
            raise TooLargeError(
                f"the answer would hold {numbers} numbers, but at most {MAX_NUMBERS} can be sent: "
                "send fewer records at a time"
            )
        return numbers

    def _holding(self, numbers: int) -> AbstractContextManager[ExitStack | None]:
        """Room for a long answer: until the client has all of it, the numbers stay, and no text."""
        return nullcontext() if numbers <= LONG_ANSWER else self._holding_long(numbers)

    @contextmanager
    def _holding_long(self, numbers: int) -> Iterator[ExitStack]:
        count = max(numbers, self.settings.max_concurrent * MAX_NUMBERS // STREAMS)
        with ExitStack() as stack:
            stack.enter_context(self._numbers.taken(count))
            yield stack

    def _timed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        seconds: list[float] = []
        while True:
            with _Timing(seconds.append):
                piece = next(pieces, None)
            if piece is None:
                break
            yield piece
        self.metrics.encode.observe(sum(seconds))

    def _submitted(
        self, records: Records, max_seq_lens: Lengths, resolved: Callable[[], None]
    ) -> list[Work]:
        lengths = max_seq_lens or self._own_lengths  # those of a request are in range by now
        in0, in1 = records.in0.cut(lengths[0]), records.in1.cut(lengths[1])
        if records.paired and len(records):
            return [self.batcher.submit(Kind.PAIRS, (in0, in1), resolved)]
        singles = ((Kind.IN0, in0), (Kind.IN1, in1))
        return [self.batcher.submit(kind, (side,), resolved) for kind, side in singles if len(side)]

    def _results(self, begun: Begun) -> tuple[Key, Floats]:
        records, results = begun.records, [self._result(work) for work in begun.works]
        if not results:
            return "scores", np.zeros((0, 1), np.float32)
        if len(results) == 1:
            return "scores" if records.paired else "embeddings", results[0]
        out = np.empty((len(records), self.config.enc_dim), np.float32)
        out[records.has0], out[records.has1] = results
        return "embeddings", out

    def _result(self, work: Work) -> Floats:
        values = self.batcher.wait(work)
        self.metrics.queue.observe(work.started - work.submitted)
        self.metrics.infer.observe(work.finished - work.started)
        return values

    def _infer(self, device: int, kind: Kind, sides: Sides) -> Floats:
        """Called by a device's threads alone; the records are cut by now, each where it should."""
        scorer, uncut = self.scorers[device], (LONGEST_REQUEST, LONGEST_REQUEST)
        with self.health.watching(device):
            if kind is Kind.PAIRS:
                return scorer.score(*sides, max_seq_lens=uncut)
            return scorer.embed(**{kind.value: sides[0]}, max_seq_lens=uncut)

    def _live(self) -> Live:
        return Live(
            *self.batcher.waiting,
            ready=self.ready,
            warm=self.health.warm_up_ended,
            device_bytes=device_bytes(),
            tokens_useful=sum(scorer.useful_tokens for scorer in self.scorers),
            tokens_computed=sum(scorer.computed_tokens for scorer in self.scorers),
            compilations=sum(scorer.compiled for scorer in self.scorers),
            compilations_waited_for=sum(scorer.waits for scorer in self.scorers),
        )


def largest_program(layout: "Layout") -> int:
    """Padded tokens of the largest batch that any program takes."""
    return max(batch * length for table in layout.usual for batch, length in table.pairs())


class _Timing:
    """Observes the seconds that a block takes, unless it fails."""

    __slots__ = ("_begun", "_observe")

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe, self._begun = observe, perf_counter()

    def __enter__(self) -> None:
        self._begun = perf_counter()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._observe(perf_counter() - self._begun)


log = logging.getLogger(__name__)


class ErrorAnswer(NamedTuple):
    """An answer of `application/json`, with headers of its own."""

    status: int
    body: bytes
    headers: dict[str, str]


def answer_to(error: Exception, request: str) -> ErrorAnswer:
    """What a client is told of an error; one that is the server's own is logged.

    Args:
        error: raised while a request was answered.
        request: its method and path, for the log.
    """
    if isinstance(error, O2VError):
        status = http.status_of(error)
        path = error.where if isinstance(error, RecordError) else None
        retry = {"Retry-After": str(http.RETRY_AFTER_S)} if status == 503 else {}  # noqa: PLR2004
        return ErrorAnswer(status, http.error_body(str(error), path=path), retry)
    told = isinstance(error, BatchFailedError)  # once a batch is enough
    log.error("%s failed", request, exc_info=None if told else error)
    return ErrorAnswer(500, http.error_body("the server failed: its log says why"), {})
