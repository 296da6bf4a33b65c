"""Reads the texts of a part's records, each with its place, filtered where that is asked for."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from o2v_jax.constants import MIB
from o2v_jax.data import Format, WrongFormatError, at_line, split_instances
from o2v_jax.errors import InputError, RecordError
from o2v_jax.transform.read.parts import Part
from o2v_jax.transform.settings import FileSettings
from o2v_jax.transform.write.joins import apply_filter

_NOTHING = b"{}"  # in place of a record that is known to be bad


@dataclass
class Texts:
    """Records as texts, in their payloads.

    Attributes:
        place_of: where a record is, by its number, as the beginning of a JSON path.
        texts: a JSON object each.
        counts: the number of records in each payload.
        errors: what is known to be wrong, by record.
        inputs: what results are joined with, each with its place; none where nothing is.
    """

    place_of: Callable[[int], str]
    texts: list[bytes] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    errors: dict[int, RecordError] = field(default_factory=dict)
    inputs: list[tuple[bytes, str]] = field(default_factory=list)

    def unzip_inputs(self) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
        """Inputs and their places."""
        return tuple(text for text, _ in self.inputs), tuple(place for _, place in self.inputs)

    def fail(self, where: str, reason: str) -> None:
        """Adds a record that is bad."""
        self.errors[len(self.texts)] = RecordError(where, reason)
        self.texts.append(_NOTHING)


def read_texts(part: Part, name: str, settings: FileSettings) -> Texts:
    """The records of a part."""
    texts = _read_texts(part, name, settings)
    if settings.edits:
        _settle_inputs(texts, settings)
    return texts


def _settle_inputs(texts: Texts, settings: FileSettings) -> None:
    """Keeps only places where answers have another format than inputs: then nothing is joined."""
    if settings.accept is settings.content:
        return
    rows: Iterable[int] = range(len(texts.texts))
    if not settings.answers_are_rows:
        rows = accumulate(texts.counts[:-1], initial=0) if texts.counts else ()
    texts.inputs = [(b"", texts.place_of(row)) for row in rows]


def _read_texts(part: Part, name: str, settings: FileSettings) -> Texts:
    if settings.content is Format.JSON:
        return _read_documents(part, name, settings)
    if settings.by_line:
        return _read_lines(part, name, settings)
    too_long = _explain_length(part.texts[0], settings)
    if too_long:
        texts = Texts(lambda _: name, counts=[1])
        texts.fail(name, too_long)
        return texts
    return _read_lines(part, name, settings)


def _read_lines(part: Part, name: str, settings: FileSettings) -> Texts:
    numbers = list[int]()
    first = part.line
    texts = Texts(lambda row: f"{at_line(name, numbers[row])} $")
    for payload in part.texts:
        before = len(texts.texts)
        for number, line in enumerate(payload.split(b"\n"), first):
            if line and not line.isspace():
                numbers.append(number)
                _add_line(texts, line, settings)
        first += payload.count(b"\n")
        count = len(texts.texts) - before
        texts.counts += [1] * count if settings.alone else [count] * bool(count)
    return texts


def _add_line(texts: Texts, line: bytes, settings: FileSettings) -> None:
    row = len(texts.texts)
    if settings.edits:
        texts.inputs.append((line, texts.place_of(row)))
    if too_long := _explain_length(line, settings):
        texts.fail(texts.place_of(row).removesuffix(" $"), too_long)
    elif settings.input_filter is None:
        texts.texts.append(line)
    else:
        try:
            texts.texts.append(apply_filter(line, settings.input_filter))
        except InputError as error:
            texts.fail(texts.place_of(row), f"--input-filter: {error}")


def _read_documents(part: Part, name: str, settings: FileSettings) -> Texts:
    places = list[str]()
    firsts = list[int]()

    def place_of(row: int) -> str:
        document = bisect_right(firsts, row) - 1
        return f"{places[document]} $.instances[{row - firsts[document]}]"

    texts = Texts(place_of)
    for place, document in _split_documents(part, name, settings):
        places.append(place)
        firsts.append(len(texts.texts))
        _add_document(texts, place, document, settings)
        texts.counts.append(len(texts.texts) - firsts[-1])
    return texts


def _split_documents(part: Part, name: str, settings: FileSettings) -> list[tuple[str, bytes]]:
    if not settings.by_line:
        return [(name, part.texts[0])]
    lines = enumerate(b"".join(part.texts).split(b"\n"), part.line)
    return [(at_line(name, n), line) for n, line in lines if line and not line.isspace()]


def _add_document(texts: Texts, place: str, document: bytes, settings: FileSettings) -> None:
    if settings.edits:
        texts.inputs.append((document, place))
    if too_long := _explain_length(document, settings):
        texts.fail(place, too_long)
        return
    try:
        texts.texts += split_instances(apply_filter(document, settings.input_filter))
    except RecordError as error:
        texts.fail(f"{place} {error.where}", explain_record_error(error))
    except InputError as error:
        texts.fail(f"{place} $", f"--input-filter: {error}")


def explain_record_error(error: RecordError) -> str:
    """Why a record is bad, for somebody who gives options, not headers."""
    if isinstance(error, WrongFormatError):
        return f"is {error.kind}: give --content-type {error.actual}"
    return error.reason


def _explain_length(text: bytes, settings: FileSettings) -> str:
    if settings.longest is None or len(text) <= settings.longest:
        return ""
    limit = f"{settings.longest} bytes, --max-payload {settings.longest // MIB}"
    what = "a record" if settings.by_line else "a request"
    return f"is longer than {what} may be ({limit})"
