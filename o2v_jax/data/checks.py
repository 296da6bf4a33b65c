"""The checks that need whole records: which sides they give, and the vocabulary."""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from o2v_jax.data.records import Records
from o2v_jax.data.validate import outside
from o2v_jax.errors import RecordError

VocabSizes: TypeAlias = tuple[int, int] | None
Problem: TypeAlias = tuple[int, RecordError] | None

NEITHER = "holds neither in0 nor in1: give both for scores, one for its embedding"


def first_problem(records: Records, vocab_sizes: VocabSizes) -> Problem:
    """The index of the first bad record and what is wrong with it, or None."""
    problems = [_side_problem(records), *_vocabulary_problems(records, vocab_sizes)]
    return min((p for p in problems if p), key=lambda p: p[0], default=None)


def _side_problem(records: Records) -> Problem:
    if records.paired:
        return None
    both, none = records.has0 & records.has1, ~(records.has0 | records.has1)
    odd = np.flatnonzero(none | (both != both[:1]))
    if not len(odd):
        return None
    first = int(odd[0])
    if none[first]:
        return first, RecordError(records.places.of(first), NEITHER)
    return first, mixed(records, first, records.places.of(0))


def mixed(records: Records, record: int, other: str) -> RecordError:
    """The error of a record that gives one side where others give both, or the reverse."""
    pair = bool(records.has0[record] and records.has1[record])
    return RecordError(records.places.of(record), mixed_reason(other, pair=pair))


def mixed_reason(other: str, *, pair: bool) -> str:
    """Why a record, a pair or not, cannot stand beside the other."""
    here, there = ("both sides", "only one") if pair else ("only one side", "both")
    return (
        f"gives {here}, but {other} gives {there}: ask for scores (both sides) "
        "and for embeddings (one side) separately"
    )


def _vocabulary_problems(records: Records, vocab_sizes: VocabSizes) -> Iterator[Problem]:
    sides = ((records.in0, records.has0), (records.in1, records.has1))
    for side, ((ragged, has), size) in enumerate(zip(sides, vocab_sizes or (), strict=False)):
        if not len(ragged.ids) or ragged.ids.max() < size:
            continue
        at = int(np.argmax(ragged.ids >= size))
        row = int(np.searchsorted(ragged.offsets, at, side="right")) - 1
        record = int(np.flatnonzero(has)[row])
        where = records.places.of(record, f".in{side}[{at - ragged.offsets[row]}]")
        yield record, RecordError(where, outside(int(ragged.ids[at]), size))
