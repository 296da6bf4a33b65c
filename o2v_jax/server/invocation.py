"""POST /invocations: scores of pairs, and embeddings of single objects."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from o2v_jax.array_types import Floats
from o2v_jax.data import Format, Records, decode, sniff
from o2v_jax.data.encoding import ResultKey, encode_pieces
from o2v_jax.data.validate import MaxSeqLens
from o2v_jax.errors import InputError
from o2v_jax.server.errors import TooLargeError
from o2v_jax.server.limits import MAX_RESPONSE_FLOATS
from o2v_jax.server.media_types import choose_format, read_content_type, wants_labels
from o2v_jax.server.metrics import Timing
from o2v_jax.server.pending import Answer, Pending
from o2v_jax.server.queue import ScoringFuture, ScoringTask
from o2v_jax.server.service import Service


@dataclass(slots=True)
class Invocation(Pending):
    """A request for scores or embeddings.

    Attributes:
        records: decoded and validated.
        class_names: the names to put into the response; empty unless labels were asked for.
    """

    records: Records
    class_names: Sequence[str]


class Invocations:
    """The route, of one service; see `Operation`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def submit(
        self,
        body: bytes,
        content_type: str | None,
        accept: str | None,
        limits: ExitStack,
        query: str = "",
    ) -> Invocation:
        """Decodes the body of a request and queues its records."""
        service = self._service
        content = read_content_type(content_type)
        format_in = content.format or sniff(body)
        format_out = choose_format(accept, service.settings.default_accept or format_in)
        labels = wants_labels(accept, query)
        records = self._decode(body, format_in)
        class_names = self._require_class_names(records) if labels else ()
        floats = self._count_floats(records)
        limits.enter_context(service.records.hold(len(records)))
        stream = service.hold_stream(floats, limits)
        futures = self._enqueue(records, content.max_seq_lens)
        return Invocation(
            *(format_out, futures, stream, service.batcher, limits.pop_all(), records, class_names)
        )

    def finish(self, pending: Invocation) -> Answer:
        """Waits for the results and encodes them."""
        key, values = self.collect(pending)
        # raises before any is sent
        pieces = encode_pieces(values, key, pending.format, pending.class_names)
        return self._service.answer(pending, pieces)

    def collect(self, pending: Invocation) -> tuple[ResultKey, Floats]:
        """Waits for the results and puts them in the order of the records."""
        records = pending.records
        results = [self._service.wait(future) for future in pending.futures]
        if not results:
            return "scores", np.zeros((0, 1), np.float32)
        if len(results) == 1:
            return "scores" if records.paired else "embeddings", results[0]
        out = np.empty((len(records), self._service.config.enc_dim), np.float32)
        out[records.has0], out[records.has1] = results
        return "embeddings", out

    def _decode(self, body: bytes, format_in: Format) -> Records:
        service = self._service
        with service.limit_decoding(len(body)), Timing(service.metrics.parse.observe):
            records = decode(body, format_in, service.decode_options)
        if any(records.unknown):
            service.metrics.count_unknown(records.unknown)
        return records

    def _require_class_names(self, records: Records) -> Sequence[str]:
        names = self._service.scorers[0].class_names
        if not names:
            raise InputError("labels=true was sent, but this model has no class names")
        if not records.paired:
            raise InputError("labels=true was sent, but embeddings have no classes: send pairs")
        return names

    def _count_floats(self, records: Records) -> int:
        config = self._service.config
        floats = len(records) * (config.outputs if records.paired else config.enc_dim)
        if floats > MAX_RESPONSE_FLOATS:
            raise TooLargeError(
                f"the answer would hold {floats} numbers, but at most {MAX_RESPONSE_FLOATS} can be "
                "sent: send fewer records at a time"
            )
        return floats

    def _enqueue(self, records: Records, max_seq_lens: MaxSeqLens | None) -> list[ScoringFuture]:
        batcher = self._service.batcher
        lengths = max_seq_lens or self._service.max_seq_lens  # a request's are in range by now
        in0, in1 = records.in0.cut(lengths[0]), records.in1.cut(lengths[1])
        if records.paired and len(records):
            return [batcher.submit(ScoringTask.PAIRS, (in0, in1))]
        singles = ((ScoringTask.IN0, in0), (ScoringTask.IN1, in1))
        return [batcher.submit(task, (side,)) for task, side in singles if len(side)]
