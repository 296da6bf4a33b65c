"""Which objects are ranked for which query, found in records of token ids."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Index
from o2v_jax.data.deduplicate import find_unique_rows
from o2v_jax.data.ragged import Ragged, offsets_of
from o2v_jax.errors import RecordError
from o2v_jax.scoring.relevance import Relevance


@dataclass(frozen=True, eq=False)
class RankedLists:
    """Every query has a list of all candidates, without those that are excluded.

    Attributes:
        queries: the distinct ones, in the order in which they first occur.
        candidates: likewise.
        relevance: which candidates belong to which query.
        excluded: which are taken out of which list.
        pair_of: int64 `[records]`, the number of each record's pair in `relevance`; -1: the record
            is not relevant.
    """

    queries: Ragged
    candidates: Ragged
    relevance: Relevance
    excluded: Relevance
    pair_of: Index


def make_lists(
    queries: Ragged,
    objects: Ragged,
    relevant: npt.NDArray[np.bool_],
    candidates: Ragged | None,
    known: tuple[Ragged, Ragged],
    describe_missing: Callable[[int], RecordError],
) -> RankedLists:
    """The lists of records.

    Args:
        queries: of the records.
        objects: what each record gives for its query.
        relevant: bool `[records]`, whether it belongs to the query.
        candidates: what is ranked; None: the objects of the records.
        known: queries, and the object that is excluded for each.
        describe_missing: the error of a record whose relevant object is not a candidate.

    Raises:
        RecordError: there is such a record.
    """
    asked, (at, known_at) = number_rows(queries, queries, known[0])
    listed = objects if candidates is None else candidates
    ranked, (found, known_found) = number_rows(listed, objects, known[1])
    missing = relevant & (found < 0)
    if missing.any():
        raise describe_missing(int(missing.argmax()))

    def relate(one: Index, two: Index, chosen: npt.NDArray[np.bool_]) -> Relevance:
        return Relevance.of(one[chosen], two[chosen], len(asked), len(ranked))

    relevance = relate(at, found, relevant)
    excluded = relate(known_at, known_found, (known_at >= 0) & (known_found >= 0))
    pair_of = np.full(len(relevant), -1)
    pair_of[relevant] = relevance.find(at[relevant], found[relevant])
    return RankedLists(asked, ranked, relevance, excluded, pair_of)


def number_rows(rows: Ragged, *others: Ragged) -> tuple[Ragged, list[Index]]:
    """The distinct rows, and the numbers among them of the others' rows, -1 for what is not there.

    >>> distinct, (numbers,) = number_rows(Ragged.of([[5], [3], [5]]), Ragged.of([[3], [4], [5]]))
    >>> distinct.to_lists(), numbers
    ([[5], [3]], array([ 1, -1,  0]))
    """
    joined = Ragged.concatenate([rows, *others])
    first, kinds = find_unique_rows(joined)
    order = np.argsort(first)  # as they first occur, so that those of `rows` come before all others
    distinct = order[: np.searchsorted(first[order], len(rows))]
    number = np.full(len(first), -1)
    number[distinct] = np.arange(len(distinct))
    ends = len(rows) + offsets_of(np.array([len(each) for each in others]))
    parts = np.split(number[kinds], ends[:-1])[1:]
    return joined.take(first[distinct]), parts
