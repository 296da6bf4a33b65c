"""After the first pass: ids for the tokens, then every file of the output."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from o2v_jax.data.vocabulary import Vocabulary
from o2v_jax.errors import InputError
from o2v_jax.preparation.columns import Collection
from o2v_jax.preparation.output import (
    HYPERPARAMETERS,
    LABELS,
    SHARED_VOCABULARY,
    VOCABULARIES,
    write_json,
)
from o2v_jax.preparation.problems import Problems
from o2v_jax.preparation.report import PartCount, Report
from o2v_jax.preparation.settings import settings
from o2v_jax.preparation.sides import Numbering
from o2v_jax.preparation.split import Part
from o2v_jax.preparation.writing import Numberings, write_part

Given: TypeAlias = tuple[Vocabulary | None, Vocabulary | None]
_FLOATS = "and others are taken as integers that became floats, so without the fraction"
SMALLEST_VOCABULARY = 2  # the documentation's smallest vocab_size

Counts: TypeAlias = Mapping[Part, PartCount]


def finish(directory: Path, collection: Collection, given: Given, wanted: Sequence[Part]) -> Report:
    """Writes the parts, the vocabularies, the names of the labels and the hyperparameters.

    Args:
        directory: to write in; the spilled records there are deleted.
        collection: what the first pass gathered.
        given: vocabularies to use instead of counted tokens.
        wanted: the parts that must have records.

    Raises:
        InputError: a part has no records.
        RecordError: no token of a record has an id.
    """
    numberings = _numberings(collection, given)
    outcome = collection.labels.outcome()
    counts: dict[Part, PartCount] = {}
    for part, spill in collection.spills.items():
        path, problems = directory / f"{part}.jsonl", collection.problems
        if part in wanted:
            counts[part] = write_part(path, spill, numberings, outcome, problems)
        spill.remove()
    _require_records(counts, collection.problems)
    for name, vocabulary in _vocabularies(numberings, shared=collection.shared):
        vocabulary.write(directory / name)
    if outcome.names:
        write_json(directory / LABELS, outcome.names)
    sizes = _vocab_sizes(numberings, counts, shared=collection.shared)
    found = settings(
        collection.sides, sizes, _longest(counts), outcome.hyperparameters, shared=collection.shared
    )
    write_json(directory / HYPERPARAMETERS, found)
    return Report(counts, collection.sides, sizes, outcome.text, collection.problems)


def _numberings(collection: Collection, given: Given) -> Numberings:
    """None for a side of ids; one object for both sides where they share a vocabulary."""
    first = _numbering(0, collection, given[0])
    return first, first if collection.shared else _numbering(1, collection, given[1])


def _numbering(at: int, collection: Collection, given: Vocabulary | None) -> Numbering | None:
    """Where all tokens are values, 1.0 is 1 if the vocabulary says so, or all of the column."""
    side, words = collection.sides[at], collection.words[at]
    if side.kind == "ids":
        return None
    sides = collection.sides if collection.shared else (side,)
    values = all(each.kind == "value" for each in sides)
    integers = values and (given is not None or words.are_whole())
    numbering = Numbering.of(words, side, given, integers=integers)
    if integers and (token := next(words.became_floats(numbering.vocabulary), None)):
        name = " and ".join(f"in{n}" for n in (0, 1)) if collection.shared else f"in{at}"
        collection.problems.remark(f"{name} (column {side.column!r}): {token[:40]!r} {_FLOATS}")
    return numbering


def _require_records(counts: Counts, problems: Problems) -> None:
    for part, count in counts.items():
        if not count.records:
            total = sum(other.records for other in counts.values())
            none = f"{part} gets none of the {total} records that can be used"
            reasons = f"; left out {problems.count:,}: {'; '.join(problems.listed)}"
            raise InputError(none + reasons * bool(problems.count))


def _vocabularies(numberings: Numberings, *, shared: bool) -> Iterator[tuple[str, Vocabulary]]:
    names = (SHARED_VOCABULARY,) if shared else VOCABULARIES
    for name, numbering in zip(names, numberings, strict=False):
        if numbering is not None:
            yield name, numbering.vocabulary


def _vocab_sizes(numberings: Numberings, counts: Counts, *, shared: bool) -> tuple[int, int]:
    """Of a side of ids: what holds the largest of any part."""
    largest = [max(count.sides[at].largest for count in counts.values()) for at in (0, 1)]
    if shared:
        largest = [max(largest)] * 2
    first, second = (
        max(ids + 1, SMALLEST_VOCABULARY) if numbering is None else numbering.vocabulary.size
        for numbering, ids in zip(numberings, largest, strict=True)
    )
    return first, second


def _longest(counts: Counts) -> tuple[int, int]:
    """Of all parts, so that nothing is cut; where no sequence has an id, 1."""
    first, second = (max(1, *(c.sides[at].longest for c in counts.values())) for at in (0, 1))
    return first, second
