"""Which side of a body of POST /rerank is the query, and which holds its candidates."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, NamedTuple, TypeAlias

from msgspec import UNSET

from o2v_jax.arguments import describe
from o2v_jax.data import Places
from o2v_jax.data.records import Record, TextRecord
from o2v_jax.data.tokenizers import SIDES
from o2v_jax.data.validate import NO_TOKEN
from o2v_jax.errors import RecordError
from o2v_jax.server.queries import RerankQuery, RerankText

_FORM = "expected a query in one of in0 and in1, and a list of candidates in the other"
Role: TypeAlias = Literal["query", "candidates", "empty"]

_NO_CANDIDATES = "holds no candidates: expected a list of one at least"


class Group(NamedTuple):
    """A query and its candidates.

    Attributes:
        side: of the query; the candidates are of the other.
        query: a text, or token ids.
        candidates: texts, tokens or token ids, each.
        kind: of records that hold them: `TextRecord` where there may be texts.
    """

    side: Literal[0, 1]
    query: Any
    candidates: Sequence[Any]
    kind: type[Record | TextRecord]

    def make_objects(self) -> Iterator[Record | TextRecord]:
        """The query and then the candidates, as records of one side each."""
        yield self.kind(**{SIDES[self.side]: self.query})
        name = SIDES[1 - self.side]
        yield from (self.kind(**{name: candidate}) for candidate in self.candidates)


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupPlaces(Places):
    """The places of the objects of groups, which are numbered through.

    Attributes:
        places: of the groups.
        starts: the number of each group's query, and of all objects.
    """

    places: Places
    starts: Sequence[int]

    @classmethod
    def of_groups(cls, groups: Sequence[Group], places: Places) -> "GroupPlaces":
        """Those of the objects of these groups."""
        sizes = (1 + len(group.candidates) for group in groups)
        return cls(places=places, starts=[*accumulate(sizes, initial=0)])

    def of(self, record: int, path: str = "") -> str:
        """The place of something in an object, such as `.in1[7]` in a candidate's ids."""
        group = bisect_right(self.starts, record) - 1
        candidate = record - self.starts[group] - 1
        if candidate >= 0:
            side, rest = path[: len(".in0")], path[len(".in0") :]
            path = f"{side}[{candidate}]{rest}"
        return self.places.of(group, path)


def split_query(row: RerankQuery | RerankText, places: Places, number: int) -> Group:
    """The query and the candidates of a body, or of one of several.

    A text or a list of ids is a query; a list of texts, of lists of tokens or of lists of ids holds
    candidates. Beside a list of lists, a list of texts is a query of tokens.

    Raises:
        RecordError: there is not one of each, or a list holds both kinds.
    """
    values: tuple[Any, Any] = (row.in0, row.in1)
    for name, value in zip(SIDES, values, strict=True):
        if value is UNSET:
            raise RecordError(places.of(number), f'the field "{name}" is missing: {_FORM}')
    kinds = _classify_both(*values)
    side: Literal[0, 1] = 0 if kinds[0] == "query" or kinds[1] == "candidates" else 1
    query, candidates = values[side], values[1 - side]
    _require_both(kinds, side, places, number)
    for at, value in ((side, query), (1 - side, candidates)):
        _require_alike(value, places, number, f".{SIDES[at]}")
    kind = Record if isinstance(row, RerankQuery) else TextRecord
    return Group(side, query, candidates, kind)


def _classify_both(in0: Any, in1: Any) -> list[Role]:
    holds_lists = [_holds(in0, list), _holds(in1, list)]
    return [
        "query" if _holds(value, str) and other else _classify(value)
        for value, other in ((in0, holds_lists[1]), (in1, holds_lists[0]))
    ]


def _classify(value: Any) -> Role:
    if isinstance(value, str):
        return "query"
    if not value:
        return "empty"
    return "query" if isinstance(value[0], int) else "candidates"


def _holds(value: Any, kind: type) -> bool:
    """Whether a list begins with a value of this type."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], kind)


def _require_both(kinds: Sequence[str], side: Literal[0, 1], places: Places, number: int) -> None:
    """Checks that one side is the query, and the other holds candidates."""
    if kinds[0] == kinds[1]:
        found = {
            "query": "holds two queries and no list of candidates",
            "candidates": "holds two lists of candidates and no query",
            "empty": "holds two empty lists",
        }[kinds[0]]
        raise RecordError(places.of(number), f"{found}: {_FORM}")
    if kinds[side] == "empty":
        raise RecordError(places.of(number, f".{SIDES[side]}"), NO_TOKEN)
    if kinds[1 - side] == "empty":
        raise RecordError(places.of(number, f".{SIDES[1 - side]}"), _NO_CANDIDATES)


def _require_alike(value: Any, places: Places, number: int, path: str) -> None:
    """Checks that a list holds ids alone, or no id."""
    if isinstance(value, str):
        return
    is_query = isinstance(value[0], int)
    for at, item in enumerate(value):
        if isinstance(item, int) != is_query:
            wanted = "a token id, as before it" if is_query else "a candidate, as before it"
            where = places.of(number, f"{path}[{at}]")
            raise RecordError(where, f"expected {wanted}, got {describe(item)}")
