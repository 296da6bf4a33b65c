"""One model, its devices, and all that requests share: batches, limits, health and metrics.

The thread that brings a request decodes, validates and cuts its body, and encodes its results; only
`Batcher` calls the scorer, and only `SearchBatcher` the index. Uploads, requests, their records and
the floats of long responses have a limit each, and what exceeds it is refused at once: a slow
upload does not hold up scoring.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from threading import Semaphore
from typing import TYPE_CHECKING

from o2v_jax.array_types import Floats
from o2v_jax.data import DecodeOptions
from o2v_jax.data.validate import resolve_max_seq_lens
from o2v_jax.server.batcher import QUEUE_TIMEOUT_S, Batcher
from o2v_jax.server.errors import BusyError
from o2v_jax.server.health import Health, Readiness, count_device_bytes
from o2v_jax.server.limits import MAX_RESPONSE_FLOATS, RECORDS, REQUESTS, STREAMS, UPLOADS, Limit
from o2v_jax.server.metrics import Live, Metrics, Timing
from o2v_jax.server.pending import Answer, Pending
from o2v_jax.server.protocol import ScorerLike
from o2v_jax.server.queue import ScoringFuture, ScoringTask, Sides
from o2v_jax.server.search_batcher import SearchBatcher
from o2v_jax.server.settings import ServerSettings

if TYPE_CHECKING:
    from o2v_jax.retrieval import Index

LONG_RESPONSE = 2**16  # floats of the longest response that is sent as a whole
LONG_BODY = 2**16  # bytes of the longest body that is decoded at once


class Service:
    """Computes with one model, and records in `health` whether its devices work.

    Args:
        scorers: scorers of the model, one for each device.
        settings: of the server.
        timeout_s: seconds that a request may wait before a device takes it.
        index: items of the model that are searched; None: none are.
    """

    def __init__(
        self,
        scorers: Sequence[ScorerLike],
        settings: ServerSettings,
        timeout_s: float = QUEUE_TIMEOUT_S,
        index: "Index | None" = None,
    ) -> None:
        self.scorers = scorers
        self.settings = settings
        self.index = index
        self.health = Health()
        self.config = scorers[0].config
        self.metrics = Metrics(self._read_metrics)
        self.searches = None if index is None else self._create_search_batcher(index, timeout_s)
        computes = [partial(self._compute, device) for device in range(len(scorers))]
        profile = scorers[0].shapes.profile
        self.batcher = Batcher(
            computes,
            scorers[0].shapes.largest_batch_tokens,
            self.metrics.observe_batch,
            timeout_s,
            chunks_per_batch=profile.chunks_per_batch,
            backlog=profile.backlog_chunks,
            on_results=(lambda: None) if self.searches is None else self.searches.begin,
        )
        self.decode_options = DecodeOptions.for_model(self.config, scorers[0].tokenizers)
        self.max_seq_lens = resolve_max_seq_lens(self.config, None)
        self.uploads = Limit(UPLOADS)
        self.requests = Limit(REQUESTS)
        self.records = Limit(RECORDS, always=settings.max_concurrent)
        self.response_floats = Limit(settings.max_concurrent * MAX_RESPONSE_FLOATS)
        self._decoding = Semaphore(settings.max_concurrent)

    @property
    def ready(self) -> bool:
        """Whether requests will be answered, and quickly."""
        is_searched = self.searches is None or self.searches.alive
        is_usable = self.health.readiness is Readiness.READY and self.batcher.alive
        return is_usable and is_searched

    def warm(self) -> None:
        """Compiles in a thread of its own: ready after the first programs, then all others."""
        self.health.warm(self._warm_first, self._warm_rest)

    def close(self) -> None:
        """Finishes the current batch and search, and refuses everything else, for good."""
        self.batcher.close()
        if self.searches is not None:
            self.searches.close()

    def admit(self) -> ExitStack:
        """Counts a request among those whose body is complete, until the stack is closed.

        Raises:
            BusyError: there are too many.
        """
        limits = ExitStack()
        limits.enter_context(self.requests.hold())
        return limits

    def limit_decoding(self, length: int) -> AbstractContextManager[None]:
        """Limits the long bodies decoded at a time: each needs many times its size in memory."""
        return nullcontext() if length <= LONG_BODY else self._wait_to_decode()

    def hold_stream(self, floats: int, stack: ExitStack) -> ExitStack | None:
        """Reserves a long response: its floats stay in memory until the client has all of them.

        Args:
            floats: of the response.
            stack: holds the reservation as well.

        Returns:
            None for a short one.

        Raises:
            BusyError: too many floats are being sent.
        """
        if floats <= LONG_RESPONSE:
            return None
        count = max(floats, self.settings.max_concurrent * MAX_RESPONSE_FLOATS // STREAMS)
        stream = ExitStack()
        stream.enter_context(self.response_floats.hold(count))
        return stack.enter_context(stream)

    def wait(self, future: ScoringFuture) -> Floats:
        """Waits for results of the device, as `Batcher.result`."""
        values = self.batcher.result(future)
        self.metrics.queue.observe(future.started - future.submitted)
        self.metrics.infer.observe(future.finished - future.started)
        return values

    def answer(self, pending: Pending, pieces: Iterator[bytes]) -> Answer:
        """The response to a request: pieces that are made as they are sent, if it is long."""
        if pending.stream:
            close = pending.stream.pop_all().close
            return Answer(self._observe_encoding(pieces), pending.format, close)
        with Timing(self.metrics.encode.observe):
            return Answer(b"".join(pieces), pending.format, lambda: None)

    @contextmanager
    def _wait_to_decode(self) -> Iterator[None]:
        timeout_s = self.batcher.timeout_s
        if not self._decoding.acquire(timeout=timeout_s):
            raise BusyError(f"the server was busy for {timeout_s} s: try again later")
        try:
            yield
        finally:
            self._decoding.release()

    def _observe_encoding(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        seconds: list[float] = []
        while True:
            with Timing(seconds.append):
                piece = next(pieces, None)
            if piece is None:
                break
            yield piece
        self.metrics.encode.observe(sum(seconds))

    def _warm_first(self) -> None:
        for scorer in self.scorers:
            scorer.warm_first()
        if self.index is not None:
            self.index.warm()

    def _warm_rest(self) -> None:
        for scorer in self.scorers:
            scorer.warm(longer=True)

    def _create_search_batcher(self, index: "Index", timeout_s: float) -> SearchBatcher:
        # the head, if it ranks, computes on the first device
        watch = partial(self.health.watch_device, 0) if index.info.candidates else nullcontext
        return SearchBatcher(index, self.metrics.observe_search, watch, timeout_s)

    def _compute(self, device: int, task: ScoringTask, sides: Sides) -> Floats:
        """Called by a device's threads alone, with records that were validated and cut."""
        scorer = self.scorers[device]
        with self.health.watch_device(device):
            if task in _PAIRS:
                return scorer.score_validated(*sides)
            return scorer.embed_validated(0 if task is ScoringTask.IN0 else 1, sides[0])

    def _read_metrics(self) -> Live:
        return Live(
            *self.batcher.waiting,
            search_waiting=0 if self.searches is None else self.searches.waiting,
            ready=self.ready,
            warm=self.health.warm_up_ended,
            device_bytes=count_device_bytes(),
            tokens_useful=sum(scorer.useful_tokens for scorer in self.scorers),
            tokens_computed=sum(scorer.computed_tokens for scorer in self.scorers),
            compilations=sum(scorer.compiled for scorer in self.scorers),
            compilations_waited_for=sum(scorer.waits for scorer in self.scorers),
        )


_PAIRS = (ScoringTask.PAIRS, ScoringTask.CANDIDATES)
