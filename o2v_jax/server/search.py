"""POST /search: the items of an index that the model ranks first for a query."""

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import starmap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from msgspec import UNSET

from o2v_jax.array_types import Floats, Index
from o2v_jax.data import Places
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.tokenizers import SIDES
from o2v_jax.data.validate import NO_TOKEN, NOT_FINITE, MaxSeqLens
from o2v_jax.errors import InputError, RecordError
from o2v_jax.server.errors import TooLargeError
from o2v_jax.server.limits import MAX_RESPONSE_FLOATS
from o2v_jax.server.metrics import Timing
from o2v_jax.server.pending import Answer, Pending
from o2v_jax.server.queries import (
    SEARCH,
    Queries,
    SearchQuery,
    SearchText,
    check_rows,
    decode_queries,
    encode_answers,
    read_head,
    require_finite_scores,
)
from o2v_jax.server.queue import ScoringTask
from o2v_jax.server.search_batcher import SearchBatcher, SearchFuture
from o2v_jax.server.service import Service

if TYPE_CHECKING:
    from o2v_jax import retrieval

Asked = Queries[SearchQuery | SearchText]

DEFAULT_K = 10
HIT_FLOATS = 32  # as many numbers of a response does a hit count as: its key takes time and memory
MAX_HITS = MAX_RESPONSE_FLOATS // HIT_FLOATS
_TASKS = ScoringTask.IN0, ScoringTask.IN1


class Wanted(NamedTuple):
    """What each query asks for: int64 `[queries]` numbers of items, and positions to leave out."""

    ks: Index
    excluded: Sequence[Index]


@dataclass(slots=True)
class PendingSearch(Pending):
    """A request for hits.

    Attributes:
        queries: decoded.
        searches: what they find; empty if there are none.
    """

    queries: Asked
    searches: Sequence[SearchFuture]

    @property
    def awaited(self) -> Sequence[Future[Any]]:
        """The search, which follows the encoding."""
        return self.searches

    def withdraw(self) -> None:
        """Cancels what was not begun: encoding or searching."""
        Pending.withdraw(self)
        for search in self.searches:
            search.cancel()

    def abandon(self) -> None:
        """Cancels what is not finished."""
        Pending.abandon(self)
        for search in self.searches:
            if not search.cancel():
                search.fail(CancelledError())


class Search:
    """The route, of one service with an index; see `Operation`.

    Args:
        service: of the model.
        index: is searched.
        searches: shares searches of that index.
    """

    def __init__(self, service: Service, index: "retrieval.Index", searches: SearchBatcher) -> None:
        self._service = service
        self._index = index
        self._searches = searches
        self._side = index.query_side

    def submit(
        self,
        body: bytes,
        content_type: str | None,
        accept: str | None,
        limits: ExitStack,
        query: str = "",
    ) -> PendingSearch:
        """Decodes the queries and has them encoded."""
        service = self._service
        head = read_head(body, content_type, accept, query, service.settings.default_accept)
        with service.limit_decoding(len(body)), Timing(service.metrics.parse.observe):
            queries = decode_queries(body, head.format_in, SEARCH, service.decode_options)
            rows = self._read_rows(queries, head.max_seq_lens or service.max_seq_lens)
            wanted = self._read_wanted(queries)
        _limit_encodings(len(rows), service.config.enc_dim)
        limits.enter_context(service.records.hold(len(rows)))
        stream = service.hold_stream(_count_floats(wanted), limits)
        futures, searches = [], []
        if len(rows):
            futures.append(service.batcher.submit(_TASKS[self._side], (rows,)))
            searches.append(self._searches.submit(futures[0], *wanted))
        held = limits.pop_all()
        return PendingSearch(
            *(head.format_out, futures, stream, service.batcher, held, queries, searches)
        )

    def finish(self, pending: PendingSearch) -> Answer:
        """Waits for the hits and encodes them."""
        hits: Iterator[retrieval.Hits] = iter(())
        for encoding, search in zip(pending.futures, pending.searches, strict=True):
            self._require_finite(self._service.wait(encoding), pending.queries)
            positions, scores = self._searches.result(search)
            self._service.metrics.search.observe(search.finished - encoding.finished)
            require_finite_scores(scores[positions >= 0])
            hits = self._index.iterate_hits(positions, scores)
        answers = ({"hits": [*starmap(_make_hit, zip(*each[:2], strict=True))]} for each in hits)
        return self._service.answer(
            pending, encode_answers(answers, pending.queries, pending.format)
        )

    def _read_rows(self, queries: Asked, max_seq_lens: MaxSeqLens) -> Ragged:
        """The queries in ids, of the side that asks alone."""
        for number, row in enumerate(queries.rows):
            self._check_sides(row, queries.places, number)
        records = check_rows(queries.rows, queries.places, self._service.decode_options)
        self._service.metrics.count_unknown(records.unknown)
        rows = records.sides[self._side]
        if not rows.lengths.all():
            where = queries.places.of(int(rows.lengths.argmin()), f".{SIDES[self._side]}")
            raise RecordError(where, NO_TOKEN)
        return rows.cut(max_seq_lens[self._side])

    def _check_sides(self, row: SearchQuery | SearchText, places: Places, number: int) -> None:
        own, other = SIDES[self._side], SIDES[1 - self._side]
        if getattr(row, other) is not UNSET:
            reason = f"this index holds {other}: a query of it is an {own} alone"
            raise RecordError(places.of(number, f".{other}"), reason)
        if getattr(row, own) is UNSET:
            reason = f'the field "{own}" is missing, which asks for items of this index'
            raise RecordError(places.of(number), reason)

    def _read_wanted(self, queries: Asked) -> Wanted:
        size = len(self._index)
        ks = np.full(len(queries.rows), min(DEFAULT_K, size), np.int64)
        excluded: list[Index] = []
        found: dict[str, Index] = {}  # by place, for keys that all queries leave out
        for number in range(len(queries.rows)):
            k, where = queries.get_option(number, "k")
            if k is not UNSET:
                if k > size:
                    reason = f"{k} is more than the {size:,} items of the index"
                    raise RecordError(where, reason)
                ks[number] = k
            keys, where = queries.get_option(number, "exclude")
            if where not in found:
                found[where] = _NONE if keys is UNSET else self._find(keys, where)
            excluded.append(found[where])
        return Wanted(ks, excluded)

    def _find(self, keys: Sequence[str | int], where: str) -> Index:
        """Positions of keys, none twice, before anything is queued."""
        try:
            return np.unique(self._index.find(keys))
        except InputError as error:
            raise RecordError(where, str(error)) from error

    def _require_finite(self, encodings: Floats, queries: Asked) -> None:
        finite = np.isfinite(encodings).all(axis=1)
        if not finite.all():
            where = queries.places.of(int(finite.argmin()), f".{SIDES[self._side]}")
            raise RecordError(where, NOT_FINITE)


_NONE = np.zeros(0, np.int64)


def _limit_encodings(queries: int, enc_dim: int) -> None:
    """Refuses queries whose encodings would take too much memory, as embeddings are refused."""
    floats = queries * enc_dim
    if floats > MAX_RESPONSE_FLOATS:
        raise TooLargeError(
            f"the encodings of the queries would hold {floats} numbers, but at most "
            f"{MAX_RESPONSE_FLOATS} can be held: send fewer queries at a time"
        )


def _count_floats(wanted: Wanted) -> int:
    """As how many numbers the hits count: as many for every query as for the largest k."""
    hits = len(wanted.ks) * int(wanted.ks.max(initial=0))
    excluded = sum(map(len, wanted.excluded))
    for count, what in (
        (hits, "the answer would hold {} hits"),
        (excluded, "{} items are left out"),
    ):
        if count > MAX_HITS:
            found = f"{what.format(f'{count:,}')} in all, but at most {MAX_HITS:,} can be"
            raise TooLargeError(f"{found}: send fewer queries at a time")
    return hits * HIT_FLOATS


def _make_hit(key: str | int, score: np.float32) -> dict[str, Any]:
    return {"key": key, "score": score}
