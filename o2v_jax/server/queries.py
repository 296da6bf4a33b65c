"""The bodies of POST /search and POST /rerank: one query, {"instances": [...]}, or one a line.

Unlike records of /invocations, queries have no fields that are ignored: a misspelt option would be.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from o2v_jax.array_types import Floats
from o2v_jax.data import DecodeOptions, Format, Places, Records, at_line, sniff
from o2v_jax.data.decoding import check_records
from o2v_jax.data.encoding import encode_objects
from o2v_jax.data.records import Decoders, Id, Record, TextRecord, decode_record
from o2v_jax.data.validate import DOCUMENT, MaxSeqLens
from o2v_jax.errors import InputError, RecordError
from o2v_jax.server.media_types import choose_format, read_content_type, wants_labels
from o2v_jax.util import BOM

Natural: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]

_BOTH = 'holds "instances" and a query beside it: give either'
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*?)`(?: - at `(?P<path>.*)`)?$")


class SearchQuery(Record, gc=False, forbid_unknown_fields=True):
    """An object whose best items are wanted."""

    k: Positive | UnsetType = UNSET
    exclude: list[str | int] | UnsetType = UNSET


class SearchText(TextRecord, gc=False, forbid_unknown_fields=True):
    """As `SearchQuery`; it may be a text."""

    k: Positive | UnsetType = UNSET
    exclude: list[str | int] | UnsetType = UNSET


class RerankQuery(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """An object of one side, and candidates of the other."""

    in0: list[Id | list[Id]] | UnsetType = UNSET
    in1: list[Id | list[Id]] | UnsetType = UNSET
    k: Positive | UnsetType = UNSET
    class_index: Natural | UnsetType = UNSET


class RerankText(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """As `RerankQuery`; any object may be a text."""

    in0: str | list[str | Id | list[str | Id]] | UnsetType = UNSET
    in1: str | list[str | Id | list[str | Id]] | UnsetType = UNSET
    k: Positive | UnsetType = UNSET
    class_index: Natural | UnsetType = UNSET


class _SearchBody(SearchQuery, gc=False):
    instances: list[SearchQuery] | UnsetType = UNSET


class _SearchTextBody(SearchText, gc=False):
    instances: list[SearchText] | UnsetType = UNSET


class _RerankBody(RerankQuery, gc=False):
    instances: list[RerankQuery] | UnsetType = UNSET


class _RerankTextBody(RerankText, gc=False):
    instances: list[RerankText] | UnsetType = UNSET


Query = TypeVar("Query")


class Forms(NamedTuple, Generic[Query]):
    """How the bodies of a route are decoded.

    Attributes:
        body: decoders of a JSON document.
        line: decoders of a line of JSON Lines.
        fields: of a query.
    """

    body: Decoders
    line: Decoders
    fields: Sequence[str]


def _make_forms(kinds: tuple[Any, Any], lines: tuple[Any, Any]) -> Forms[Any]:
    body, line = (Decoders(*map(msgspec.json.Decoder, each)) for each in (kinds, lines))
    return Forms(body, line, lines[0].__struct_fields__)


SEARCH: Forms[SearchQuery | SearchText] = _make_forms(
    (_SearchBody, _SearchTextBody), (SearchQuery, SearchText)
)
RERANK: Forms[RerankQuery | RerankText] = _make_forms(
    (_RerankBody, _RerankTextBody), (RerankQuery, RerankText)
)


@dataclass(frozen=True, eq=False)
class OneQuery(Places):
    """The place of a query that is a JSON document itself."""

    def of(self, record: int, path: str = "") -> str:  # noqa: ARG002 - there is one
        """The place of something in it."""
        return f"${path}"


class Queries(NamedTuple, Generic[Query]):
    """The queries of a request.

    Attributes:
        rows: as they were decoded.
        places: where each stands.
        shared: what holds options for all of them; None: each has its own alone.
        is_one: whether the body is a query itself, and not a list of queries.
    """

    rows: Sequence[Query]
    places: Places
    shared: Query | None = None
    is_one: bool = False

    def get_option(self, number: int, name: str) -> tuple[Any, str]:
        """An option of a query, or UNSET, and where it stands: its own before that of all."""
        value = getattr(self.rows[number], name)
        if value is UNSET and self.shared is not None:
            return getattr(self.shared, name), f"$.{name}"
        return value, self.places.of(number, f".{name}")


def sniff_queries(body: bytes) -> Format:
    """The format of a body without a media type: JSON Lines if its first line is a query."""
    return sniff(body) if b"\n" in body.strip() else Format.JSON


def decode_queries(
    body: bytes, form: Format, forms: Forms[Query], options: DecodeOptions
) -> Queries[Query]:
    """Reads the body of a request.

    Raises:
        RecordError: the first thing that is wrong, with its JSON path.
    """
    body = body.removeprefix(BOM)
    if not body or body.isspace():
        raise RecordError("$", "the body is empty, but at least one query was expected")
    if form is Format.JSON_LINES:
        return _decode_lines(body, forms, options)
    found = _decode(body, forms.body, forms.fields, options)
    if found.instances is UNSET:
        return Queries([found], OneQuery(), is_one=True)
    if not found.in0 is found.in1 is UNSET:
        raise RecordError("$", _BOTH)
    return Queries(found.instances, Places(), found)


def _decode_lines(body: bytes, forms: Forms[Query], options: DecodeOptions) -> Queries[Query]:
    rows, numbers = [], []
    for number, line in enumerate(body.split(b"\n"), 1):
        if line and not line.isspace():
            rows.append(_decode(line, forms.line, forms.fields, options, number))
            numbers.append(number)
    return Queries(rows, Places(lines=np.array(numbers, np.int64)))


def _decode(
    text: bytes,
    decoders: Decoders,
    fields: Sequence[str],
    options: DecodeOptions,
    line: int | None = None,
) -> Any:
    """A document, or the line of this number."""
    try:
        return decode_record(decoders, text, texts=options.tokenizers is not None)
    except (ValueError, RecursionError) as error:
        path, reason = _explain(error, text, fields, options, is_line=line is not None)
        where = path if line is None else f"{at_line(None, line)} {path}"
        raise RecordError(where, reason) from error


def _explain(
    error: Exception, text: bytes, fields: Sequence[str], options: DecodeOptions, *, is_line: bool
) -> tuple[str, str]:
    unknown = _UNKNOWN.match(str(error)) if isinstance(error, msgspec.ValidationError) else None
    if unknown is None:
        # a document may be a query, as a line is
        is_query = is_line or isinstance(error, msgspec.ValidationError)
        return options.explain(error, text, is_line=is_query)
    if unknown["name"] == "instances" and is_line:
        return "$", DOCUMENT
    known = f"{', '.join(fields[:-1])} and {fields[-1]}"
    return unknown["path"] or "$", f'the field "{unknown["name"]}" is none of {known}'


class QueryHead(NamedTuple):
    """What the head of a request says.

    Attributes:
        format_in: of its body.
        format_out: of the response.
        max_seq_lens: tokens of in0 and in1; None: the model's own.
    """

    format_in: Format
    format_out: Format
    max_seq_lens: MaxSeqLens | None


def read_head(
    body: bytes, content_type: str | None, accept: str | None, query: str, default: Format | None
) -> QueryHead:
    """Reads what every body of queries comes with.

    Args:
        body: is looked at where there is no Content-Type.
        content_type: the header, if there is one.
        accept: the header, if there is one.
        query: of the URL.
        default: format of a response where the request leaves it open; None: that of the request.

    Raises:
        InputError: a header cannot be met.
    """
    if wants_labels(accept, query):
        raise InputError("labels=true was sent, but only POST /invocations gives class names")
    content = read_content_type(content_type)
    format_in = content.format or sniff_queries(body)
    return QueryHead(format_in, choose_format(accept, default or format_in), content.max_seq_lens)


def check_rows(
    rows: Sequence[Record | TextRecord], places: Places, options: DecodeOptions
) -> Records:
    """Decoded objects in ids.

    Raises:
        RecordError: the first that a tokenizer refuses, or with an id outside the vocabulary.
    """
    records, error = check_records(rows, places, options)
    if error:
        raise error
    return records


def encode_answers(
    answers: Iterator[dict[str, Any]], queries: Queries[Any], form: Format
) -> Iterator[bytes]:
    """The body of a response: an answer for each query, or the only one itself."""
    # the only answer is a line of JSON Lines as well as a JSON document
    return encode_objects(answers, Format.JSON_LINES if queries.is_one else form)


def require_finite_scores(scores: Floats) -> None:
    """Checks scores before any is sent.

    Raises:
        ValueError: one is not finite: JSON cannot express it.
    """
    if not np.isfinite(scores).all():
        raise ValueError("scores hold values that are not finite")
