"""Reads the records of a part, in their payloads, and what is wrong with the bad ones."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Index
from o2v_jax.data import DecodeOptions, Format, Places, Records, read_each
from o2v_jax.data.arrow import read_sides
from o2v_jax.data.ragged import Ragged, offsets_of
from o2v_jax.data.validate import INT32_IDS, VocabSizes, describe_mixed, find_outside
from o2v_jax.errors import RecordError
from o2v_jax.transform.read.parts import Part
from o2v_jax.transform.read.texts import Texts, explain_record_error, read_texts
from o2v_jax.transform.settings import FileSettings

Flags: TypeAlias = npt.NDArray[np.bool_]

SLICE_ROWS, SLICE_NUMBERS = 2**14, 2**23  # scored together, at most; less would only add padding


@dataclass(frozen=True, eq=False)
class PayloadRows:
    """Records of whole payloads, one row each.

    Attributes:
        records: the good ones.
        good: bool `[rows]`, which they are.
        errors: what is wrong with the others, by row.
        bounds: int64 `[payloads + 1]`; payload `p` has the rows `bounds[p]..bounds[p + 1] - 1`.
        inputs: what is joined: the input of each row, or of each payload where an answer is one
            JSON document; none where nothing is joined or filtered.
        places: where each of `inputs` was.
    """

    records: Records
    good: Flags
    errors: dict[int, RecordError]
    bounds: Index
    inputs: tuple[bytes, ...] = ()
    places: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.good)

    @property
    def paired(self) -> Flags:
        """Bool `[good rows]`, which are pairs."""
        return self.records.has0 & self.records.has1

    def split(self, settings: FileSettings, numbers: int) -> Iterator["PayloadRows"]:
        """These rows in slices that can be scored and written on their own.

        Args:
            settings: where answers are documents, or have nothing between them, a slice holds
                whole payloads.
            numbers: of the longest result.
        """
        most = max(1, min(SLICE_ROWS, SLICE_NUMBERS // numbers))
        if settings.answers_are_rows:
            for first in range(0, len(self), most):
                yield self._take_rows(first, min(first + most, len(self)))
            return
        first = 0
        while first < len(self.bounds) - 1:
            last = int(np.searchsorted(self.bounds, self.bounds[first] + most, side="right")) - 1
            last = max(first + 1, last)
            yield self._take_payloads(first, last)
            first = last

    def _take_payloads(self, first: int, last: int) -> "PayloadRows":
        rows = self._take_rows(int(self.bounds[first]), int(self.bounds[last]))
        bounds = self.bounds[first : last + 1] - self.bounds[first]
        inputs = self.inputs[first:last]
        places = self.places[first:last]
        return replace(rows, bounds=bounds, inputs=inputs, places=places)

    def _take_rows(self, first: int, last: int) -> "PayloadRows":
        """Rows that count as one payload."""
        if (first, last) == (0, len(self)):
            return replace(self, bounds=np.array([0, last]))
        good = np.cumsum(self.good[:last])
        begin, end = (int(good[at - 1]) if at else 0 for at in (first, last))
        errors = {row - first: self.errors[row] for row in range(first, last) if row in self.errors}
        return PayloadRows(
            _take_range(self.records, begin, end),
            self.good[first:last],
            errors,
            np.array([0, last - first]),
            self.inputs[first:last],
            self.places[first:last],
        )


def read_rows(part: Part, name: str, settings: FileSettings, options: DecodeOptions) -> PayloadRows:
    """Reads the records of a part, the bad ones too."""
    plain = _read_plain(part, settings, options.vocab_sizes)
    return plain or _read_each(part, name, settings, options)


def _read_plain(part: Part, settings: FileSettings, vocab_sizes: VocabSizes) -> PayloadRows | None:
    """Reads lines of good records that all give the same sides, much faster than one by one."""
    if settings.content is not Format.JSON_LINES or settings.edits or settings.input_filter:
        return None
    texts = [text for text in part.texts if text and not text.isspace()]
    read = [read_sides(text) for text in texts if not _may_be_too_long(text, settings)]
    sides = [some for some in read if some is not None]
    if not texts or len(sides) < len(texts):
        return None
    in0s = [some.in0 for some in sides if some.in0 is not None]
    in1s = [some.in1 for some in sides if some.in1 is not None]
    if {len(in0s), len(in1s)} - {0, len(sides)}:
        return None
    in0, in1 = (Ragged.concatenate(some) if some else Ragged.of([]) for some in (in0s, in1s))
    sizes = vocab_sizes or (INT32_IDS, INT32_IDS)
    if any(len(find_outside(side.ids, n)) for side, n in zip((in0, in1), sizes, strict=True)):
        return None
    counts = [len(some.in0 if some.in0 is not None else some.in1 or ()) for some in sides]
    rows = sum(counts)
    has0, has1 = (np.full(rows, bool(some)) for some in (in0s, in1s))
    bounds = np.arange(rows + 1) if settings.alone else offsets_of(np.array(counts))
    records = Records(in0, in1, has0=has0, has1=has1, places=Places())
    return PayloadRows(records, np.ones(rows, np.bool_), {}, bounds)


def _may_be_too_long(text: bytes, settings: FileSettings) -> bool:
    if settings.longest is None or len(text) <= settings.longest:
        return False
    return not settings.alone or max(map(len, text.split(b"\n"))) > settings.longest


def _read_each(
    part: Part, name: str, settings: FileSettings, options: DecodeOptions
) -> PayloadRows:
    texts = read_texts(part, name, settings)
    each = read_each(texts.texts, texts.place_of, options)
    rows = PayloadRows(
        each.records,
        each.good,
        {n: RecordError(e.where, explain_record_error(e)) for n, e in each.errors.items()}
        | texts.errors,
        offsets_of(np.array(texts.counts, np.int64)),
        *texts.unzip_inputs(),
    )
    return (
        rows
        if settings.alone and settings.content is Format.JSON_LINES
        else _exclude_mixed(rows, texts)
    )


def _exclude_mixed(rows: PayloadRows, texts: Texts) -> PayloadRows:
    """Excludes records of another kind than the first good one of their payload, as servers do."""
    paired = rows.paired
    if not len(paired) or (paired == paired[0]).all():
        return rows
    at = np.flatnonzero(rows.good)
    payload = np.searchsorted(rows.bounds, at, side="right") - 1
    _, first, which = np.unique(payload, return_index=True, return_inverse=True)
    leader = first[which]
    bad = np.flatnonzero(paired != paired[leader])
    errors = dict(rows.errors)
    for i in bad.tolist():
        row = int(at[i])
        other = texts.place_of(int(at[leader[i]])).removesuffix(" $")
        reason = describe_mixed(other, pair=bool(paired[i]))
        errors[row] = RecordError(texts.place_of(row), reason)
    good = rows.good.copy()
    good[at[bad]] = False
    return replace(rows, records=_drop_records(rows.records, bad), good=good, errors=errors)


def _drop_records(records: Records, bad: Index) -> Records:
    keep = np.ones(len(records), np.bool_)
    keep[bad] = False
    return _take_records(records, np.flatnonzero(keep))


def _take_range(records: Records, first: int, last: int) -> Records:
    """Consecutive records."""
    return _take_records(records, np.arange(first, last))


def _take_records(records: Records, numbers: npt.NDArray[np.integer]) -> Records:
    has0, has1 = records.has0[numbers], records.has1[numbers]
    in0 = records.in0.take((np.cumsum(records.has0) - 1)[numbers][has0])
    in1 = records.in1.take((np.cumsum(records.has1) - 1)[numbers][has1])
    return Records(in0, in1, has0=has0, has1=has1, places=Places())
