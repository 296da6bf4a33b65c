"""POST /rerank: candidates in the order in which the model ranks them beside a query."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple

import numpy as np
from msgspec import UNSET

from o2v_jax.array_types import Floats, Index
from o2v_jax.data import Places
from o2v_jax.data.deduplicate import DistinctRows, deduplicate_rows
from o2v_jax.data.records import Records
from o2v_jax.data.tokenizers import SIDES
from o2v_jax.data.validate import NO_TOKEN, MaxSeqLens
from o2v_jax.errors import InputError, RecordError
from o2v_jax.scoring import choose_class
from o2v_jax.scoring.ranking import rank_scores
from o2v_jax.server.candidates import Group, GroupPlaces, split_query
from o2v_jax.server.errors import TooLargeError
from o2v_jax.server.limits import MAX_RESPONSE_FLOATS
from o2v_jax.server.metrics import Timing
from o2v_jax.server.pending import Answer, Pending
from o2v_jax.server.queries import (
    RERANK,
    Queries,
    RerankQuery,
    RerankText,
    check_rows,
    decode_queries,
    encode_answers,
    read_head,
    require_finite_scores,
)
from o2v_jax.server.queue import ScoringTask
from o2v_jax.server.service import Service

Asked = Queries[RerankQuery | RerankText]

RESULT_FLOATS = 8  # as many numbers of a response does a result count as


class Options(NamedTuple):
    """What a query asks for: how many results, None for all, and the column that ranks."""

    k: int | None
    column: int


@dataclass(slots=True)
class PendingRerank(Pending):
    """A request for the order of candidates.

    Attributes:
        queries: decoded.
        options: of each.
        starts: the first pair of each, and the number of all pairs.
    """

    queries: Asked
    options: Sequence[Options]
    starts: Sequence[int]


class Rerank:
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
    ) -> PendingRerank:
        """Decodes queries and candidates and has their pairs scored, each query encoded once."""
        service = self._service
        head = read_head(body, content_type, accept, query, service.settings.default_accept)
        with service.limit_decoding(len(body)), Timing(service.metrics.parse.observe):
            queries = decode_queries(body, head.format_in, RERANK, service.decode_options)
            options = [self._read_options(queries, at) for at in range(len(queries.rows))]
            groups = [split_query(row, queries.places, at) for at, row in enumerate(queries.rows)]
            starts = [*accumulate((len(group.candidates) for group in groups), initial=0)]
            _limit_results(starts[-1])
            limits.enter_context(service.records.hold(starts[-1]))
            pairs = self._make_pairs(groups, queries.places, head.max_seq_lens)
        stream = service.hold_stream(starts[-1] * RESULT_FLOATS, limits)
        futures = [service.batcher.submit(ScoringTask.CANDIDATES, pairs)] if starts[-1] else []
        held = limits.pop_all()
        return PendingRerank(
            *(head.format_out, futures, stream, service.batcher, held, queries, options, starts)
        )

    def finish(self, pending: PendingRerank) -> Answer:
        """Waits for the scores, ranks by them and encodes the order."""
        answers: Iterator[dict[str, Any]] = iter(())
        for future in pending.futures:
            scores = self._service.wait(future)
            require_finite_scores(scores)
            answers = _iterate_answers(scores, pending)
        return self._service.answer(
            pending, encode_answers(answers, pending.queries, pending.format)
        )

    def _read_options(self, queries: Asked, number: int) -> Options:
        k, _ = queries.get_option(number, "k")
        class_index, where = queries.get_option(number, "class_index")
        try:
            column = choose_class(
                self._service.config, None if class_index is UNSET else class_index
            )
        except InputError as error:
            raise RecordError(where, str(error)) from error
        return Options(None if k is UNSET else k, column)

    def _make_pairs(
        self, groups: Sequence[Group], places: Places, max_seq_lens: MaxSeqLens | None
    ) -> tuple[DistinctRows, DistinctRows]:
        """Both sides of all pairs, query by query, no object twice."""
        service = self._service
        within = GroupPlaces.of_groups(groups, places)
        objects = [*chain.from_iterable(group.make_objects() for group in groups)]
        records = check_rows(objects, within, service.decode_options)
        service.metrics.count_unknown(records.unknown)
        _require_tokens(records, groups, within)
        cut = zip(records.sides, max_seq_lens or service.max_seq_lens, strict=True)
        one, two = (deduplicate_rows(side.cut(length)) for side, length in cut)
        at0, at1 = _pair(groups)
        return (
            DistinctRows(one.rows, one.inverse[at0]),
            DistinctRows(two.rows, two.inverse[at1]),
        )


def _limit_results(candidates: int) -> None:
    """Refuses more candidates than could ever be answered."""
    most = MAX_RESPONSE_FLOATS // RESULT_FLOATS
    if candidates > most:
        raise TooLargeError(
            f"there are {candidates:,} candidates, but at most {most:,} can be ranked: send fewer "
            "at a time"
        )


def _require_tokens(records: Records, groups: Sequence[Group], places: GroupPlaces) -> None:
    """Checks that no query is empty; a candidate may be."""
    for number, (group, row) in enumerate(zip(groups, _find_query_rows(groups), strict=True)):
        if not records.sides[group.side].lengths[row]:
            raise RecordError(places.of(places.starts[number], f".{SIDES[group.side]}"), NO_TOKEN)


def _find_query_rows(groups: Sequence[Group]) -> Iterator[int]:
    """For each query its row among all objects of its side."""
    counts = [0, 0]
    for group in groups:
        yield counts[group.side]
        counts[group.side] += 1
        counts[1 - group.side] += len(group.candidates)


def _pair(groups: Sequence[Group]) -> tuple[Index, Index]:
    """The rows of in0 and of in1, among all objects of the side, that make up the pairs."""
    pairs: tuple[list[int], list[int]] = [], []
    counts = [0, 0]
    for group in groups:
        side, other, number = group.side, 1 - group.side, len(group.candidates)
        pairs[side].extend([counts[side]] * number)
        pairs[other].extend(range(counts[other], counts[other] + number))
        counts[side] += 1
        counts[other] += number
    return np.array(pairs[0], np.int64), np.array(pairs[1], np.int64)


def _iterate_answers(scores: Floats, pending: PendingRerank) -> Iterator[dict[str, Any]]:
    for (start, end), (k, column) in zip(pairwise(pending.starts), pending.options, strict=True):
        ranking = rank_scores(scores[start:end, column], end - start if k is None else k)
        results = zip(ranking.indices.tolist(), ranking.scores, strict=True)
        yield {"results": [{"index": index, "score": score} for index, score in results]}
