"""One model behind the contract: the bytes of a body in, the bytes of a response out.

The thread that brings a request decodes, validates and cuts its body, and encodes its results; only
`Batcher` calls the scorer. Uploads, requests, their records and the floats of long responses have a
limit each, and what exceeds it is refused at once: a slow upload does not hold up scoring.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from threading import Semaphore

import numpy as np

from o2v_jax.array_types import Floats
from o2v_jax.data import DecodeOptions, Format, Records, decode, encode, encode_pieces, sniff
from o2v_jax.data.encoding import ResultKey
from o2v_jax.data.validate import MaxSeqLens, resolve_max_seq_lens
from o2v_jax.errors import InputError
from o2v_jax.server.batcher import QUEUE_TIMEOUT_S, Batcher
from o2v_jax.server.errors import BusyError, TooLargeError
from o2v_jax.server.health import Health, Readiness, count_device_bytes
from o2v_jax.server.invocation import Answer, Invocation
from o2v_jax.server.limits import MAX_RESPONSE_FLOATS, RECORDS, REQUESTS, STREAMS, UPLOADS, Limit
from o2v_jax.server.media_types import choose_format, read_content_type, wants_labels
from o2v_jax.server.metrics import Live, Metrics, Timing
from o2v_jax.server.protocol import ScorerLike
from o2v_jax.server.queue import ScoringFuture, ScoringTask, Sides
from o2v_jax.server.settings import ServerSettings

LONG_RESPONSE = 2**16  # floats of the longest response that is sent as a whole
LONG_BODY = 2**16  # bytes of the longest body that is decoded at once


class Service:
    """Answers invocations with one model, and records in `health` whether its devices work.

    Args:
        scorers: scorers of the model, one for each device.
        settings: of the server.
        timeout_s: seconds that a request may wait before a device takes it.
    """

    def __init__(
        self,
        scorers: Sequence[ScorerLike],
        settings: ServerSettings,
        timeout_s: float = QUEUE_TIMEOUT_S,
    ) -> None:
        self.scorers = scorers
        self.settings = settings
        self.health = Health()
        self.config = scorers[0].config
        self.metrics = Metrics(self._read_metrics)
        computes = [partial(self._compute, device) for device in range(len(scorers))]
        profile = scorers[0].shapes.profile
        self.batcher = Batcher(
            computes,
            scorers[0].shapes.largest_batch_tokens,
            self.metrics.observe_batch,
            timeout_s,
            chunks_per_batch=profile.chunks_per_batch,
            backlog=profile.backlog_chunks,
        )
        self._decode_options = DecodeOptions.for_model(self.config, scorers[0].tokenizers)
        self._default_lengths = resolve_max_seq_lens(self.config, None)
        self.uploads = Limit(UPLOADS)
        self.requests = Limit(REQUESTS)
        self.records = Limit(RECORDS, always=settings.max_concurrent)
        self.response_floats = Limit(settings.max_concurrent * MAX_RESPONSE_FLOATS)
        self._decoding = Semaphore(settings.max_concurrent)

    @property
    def ready(self) -> bool:
        """Whether requests will be answered, and quickly."""
        return self.health.readiness is Readiness.READY and self.batcher.alive

    def warm(self) -> None:
        """Compiles in a thread of its own: ready after the first programs, then all others."""
        self.health.warm(
            lambda: [scorer.warm_first() for scorer in self.scorers],
            lambda: [scorer.warm(longer=True) for scorer in self.scorers],
        )

    def close(self) -> None:
        """Finishes the current batch and refuses everything else, for good."""
        self.batcher.close()

    def admit(self) -> ExitStack:
        """Counts a request among those whose body is complete, until the stack is closed.

        Raises:
            BusyError: there are too many.
        """
        limits = ExitStack()
        limits.enter_context(self.requests.hold())
        return limits

    def submit(
        self,
        body: bytes,
        content_type: str | None,
        accept: str | None,
        limits: ExitStack,
        query: str = "",
    ) -> Invocation:
        """Decodes the body of a request and queues its records.

        Args:
            body: the whole body.
            content_type: the header, if there is one.
            accept: the header, if there is one.
            limits: what `admit` returned. The invocation takes it over.
            query: of the URL, without the question mark.

        Raises:
            RecordError, InputError: the request is wrong, or the server is busy.
        """
        content = read_content_type(content_type)
        format_in = content.format or sniff(body)
        format_out = choose_format(accept, self.settings.default_accept or format_in)
        labels = wants_labels(accept, query)
        records = self._decode(body, format_in)
        class_names = self._require_class_names(records) if labels else ()
        floats = self._count_floats(records)
        limits.enter_context(self.records.hold(len(records)))
        stream = None if floats <= LONG_RESPONSE else self._hold_stream(floats, limits)
        futures = self._enqueue(records, content.max_seq_lens)
        return Invocation(
            *(records, format_out, futures, stream, self.batcher, class_names, limits.pop_all())
        )

    def finish(self, invocation: Invocation) -> Answer:
        """Waits for the results and encodes them.

        Raises:
            BusyError: no device was free in time, or the server is stopping.
            BatchFailedError: the records could not be scored.
        """
        key, values = self._collect(invocation)
        if invocation.stream:
            # raises before any is sent
            pieces = encode_pieces(values, key, invocation.format, invocation.class_names)
            close = invocation.stream.pop_all().close
            return Answer(self._observe_encoding(pieces), invocation.format, close)
        with Timing(self.metrics.encode.observe):
            body = encode(values, key, invocation.format, invocation.class_names)
            return Answer(body, invocation.format, lambda: None)

    def _decode(self, body: bytes, format_in: Format) -> Records:
        with self._limit_decoding(len(body)), Timing(self.metrics.parse.observe):
            records = decode(body, format_in, self._decode_options)
        if any(records.unknown):
            self.metrics.count_unknown(records.unknown)
        return records

    def _require_class_names(self, records: Records) -> Sequence[str]:
        names = self.scorers[0].class_names
        if not names:
            raise InputError("labels=true was sent, but this model has no class names")
        if not records.paired:
            raise InputError("labels=true was sent, but embeddings have no classes: send pairs")
        return names

    def _limit_decoding(self, length: int) -> AbstractContextManager[None]:
        """Limits the long bodies decoded at a time: each needs many times its size in memory."""
        return nullcontext() if length <= LONG_BODY else self._wait_to_decode()

    @contextmanager
    def _wait_to_decode(self) -> Iterator[None]:
        timeout_s = self.batcher.timeout_s
        if not self._decoding.acquire(timeout=timeout_s):
            raise BusyError(f"the server was busy for {timeout_s} s: try again later")
        try:
            yield
        finally:
            self._decoding.release()

    def _count_floats(self, records: Records) -> int:
        width = self.config.outputs if records.paired else self.config.enc_dim
        floats = len(records) * width
        if floats > MAX_RESPONSE_FLOATS:
            raise TooLargeError(
                f"the answer would hold {floats} numbers, but at most {MAX_RESPONSE_FLOATS} can be "
                "sent: send fewer records at a time"
            )
        return floats

    def _hold_stream(self, floats: int, stack: ExitStack) -> ExitStack:
        """Reserves a long response: its floats stay in memory until the client has all of them."""
        count = max(floats, self.settings.max_concurrent * MAX_RESPONSE_FLOATS // STREAMS)
        stream = ExitStack()
        stream.enter_context(self.response_floats.hold(count))
        return stack.enter_context(stream)

    def _enqueue(self, records: Records, max_seq_lens: MaxSeqLens | None) -> list[ScoringFuture]:
        lengths = max_seq_lens or self._default_lengths  # those of a request are in range by now
        in0, in1 = records.in0.cut(lengths[0]), records.in1.cut(lengths[1])
        if records.paired and len(records):
            return [self.batcher.submit(ScoringTask.PAIRS, (in0, in1))]
        singles = ((ScoringTask.IN0, in0), (ScoringTask.IN1, in1))
        return [self.batcher.submit(task, (side,)) for task, side in singles if len(side)]

    def _collect(self, invocation: Invocation) -> tuple[ResultKey, Floats]:
        """Waits for the results and puts them in the order of the records."""
        records = invocation.records
        results = [self._wait(future) for future in invocation.futures]
        if not results:
            return "scores", np.zeros((0, 1), np.float32)
        if len(results) == 1:
            return "scores" if records.paired else "embeddings", results[0]
        out = np.empty((len(records), self.config.enc_dim), np.float32)
        out[records.has0], out[records.has1] = results
        return "embeddings", out

    def _wait(self, future: ScoringFuture) -> Floats:
        values = self.batcher.result(future)
        self.metrics.queue.observe(future.started - future.submitted)
        self.metrics.infer.observe(future.finished - future.started)
        return values

    def _observe_encoding(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        seconds: list[float] = []
        while True:
            with Timing(seconds.append):
                piece = next(pieces, None)
            if piece is None:
                break
            yield piece
        self.metrics.encode.observe(sum(seconds))

    def _compute(self, device: int, task: ScoringTask, sides: Sides) -> Floats:
        """Called by a device's threads alone, with records that were validated and cut."""
        scorer = self.scorers[device]
        with self.health.watch_device(device):
            if task is ScoringTask.PAIRS:
                return scorer.score_validated(*sides)
            return scorer.embed_validated(0 if task is ScoringTask.IN0 else 1, sides[0])

    def _read_metrics(self) -> Live:
        return Live(
            *self.batcher.waiting,
            ready=self.ready,
            warm=self.health.warm_up_ended,
            device_bytes=count_device_bytes(),
            tokens_useful=sum(scorer.useful_tokens for scorer in self.scorers),
            tokens_computed=sum(scorer.computed_tokens for scorer in self.scorers),
            compilations=sum(scorer.compiled for scorer in self.scorers),
            compilations_waited_for=sum(scorer.waits for scorer in self.scorers),
        )
