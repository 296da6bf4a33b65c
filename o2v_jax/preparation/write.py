"""Writes the prepared channels as JSON Lines, in one atomic step."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import orjson

from o2v_jax.atomic import list_others
from o2v_jax.checkpoint import VOCABULARY_FILES, compose_inputs
from o2v_jax.data.deduplicate import hash_rows
from o2v_jax.data.negatives import Negatives
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.warnings import zero_inside
from o2v_jax.errors import InputError
from o2v_jax.preparation.columns import Collection
from o2v_jax.preparation.labels import Outcome, look_like_classes
from o2v_jax.preparation.read.json_rows import format_json_lines
from o2v_jax.preparation.report import PreparationReport, SideCount, SplitCount
from o2v_jax.preparation.settings import (
    Given,
    GivenSides,
    Numbering,
    Side,
    make_settings,
    make_tokenizer,
)
from o2v_jax.preparation.skipped_rows import SkippedRows
from o2v_jax.preparation.split import SPLIT_NAMES, RecordChunk, SplitName

# None where a side holds ids already
Numberings: TypeAlias = tuple[Numbering | None, Numbering | None]

_BOTH_EMPTY = "no token of in0 or in1 is in the vocabulary, which has no <unk>"


def write_part(path: Path, chunks: Iterable[RecordChunk]) -> None:
    """Writes the records of a part, from the chunks that `number_part` makes."""
    with path.open("wb") as out:
        for chunk in chunks:
            out.write(format_json_lines(chunk.labels, *chunk.sides, chunk.negatives))


def number_part(
    chunks: Iterable[RecordChunk],
    numberings: Numberings,
    outcome: Outcome,
    count: SplitCount,
    problems: SkippedRows,
) -> Iterator[RecordChunk]:
    """The records of a part with ids and final labels.

    Args:
        chunks: the records as the first pass left them.
        numberings: of each side.
        outcome: of the labels.
        count: is added to.
        problems: collects records without any id.

    Raises:
        RecordError: no token of a record has an id, and bad records are not skipped.
    """
    for chunk in chunks:
        numbered = _number_tokens(chunk, numberings, count, problems)
        final = replace(numbered, labels=outcome.final(numbered.labels))
        count.add_labels(final.labels)
        count.negatives += len(final.negatives)
        count.own += _count_own_negatives(final)
        yield final


def _number_tokens(
    chunk: RecordChunk, numberings: Numberings, count: SplitCount, problems: SkippedRows
) -> RecordChunk:
    pairs = zip(numberings, chunk.sides, count.sides, strict=True)
    in0, in1 = (_count_ids(numbering, rows, side) for numbering, rows, side in pairs)
    negatives = _number_negatives(chunk.negatives, numberings[1], count.sides[1])
    numbered = RecordChunk(chunk.places, chunk.numbers, chunk.labels, (in0, in1), negatives)
    empty = (in0.lengths == 0) & (in1.lengths == 0)
    for row in np.flatnonzero(empty).tolist():
        problems.report(chunk.where(row), _BOTH_EMPTY)
    return numbered.take(np.flatnonzero(~empty))


def _number_negatives(
    negatives: Negatives, numbering: Numbering | None, count: SideCount
) -> Negatives:
    """Hard negatives with ids, counted as in1 are; one without any known token is left out."""
    if not len(negatives):
        return negatives
    ids = _count_ids(numbering, negatives.rows, count)
    known = np.flatnonzero(ids.lengths)
    return Negatives(ids.take(known), negatives.records[known])


def _count_own_negatives(chunk: RecordChunk) -> int:
    """How many hard negatives equal the in1 of their record."""
    if not len(chunk.negatives):
        return 0
    in1 = hash_rows(chunk.sides[1])[chunk.negatives.records]
    return int((hash_rows(chunk.negatives.rows) == in1).sum())


def _count_ids(numbering: Numbering | None, rows: Ragged, count: SideCount) -> Ragged:
    ids, known = numbering.apply(rows) if numbering else (rows, len(rows.ids))
    count.tokens += len(rows.ids)
    count.known += known
    count.longest = max(count.longest, int(ids.lengths.max(initial=0)))
    count.largest = max(count.largest, int(ids.ids.max(initial=0)))
    count.zero_inside = count.zero_inside or zero_inside(ids)
    return ids


HYPERPARAMETERS = "hyperparameters.json"
LABELS = "labels.json"
INPUTS = "inputs.json"  # how raw values become token ids
PREPARED_FILES = (
    *(f"{part}.jsonl" for part in SPLIT_NAMES),
    *(*VOCABULARY_FILES, LABELS, INPUTS, HYPERPARAMETERS),
)


def check_preparation_target(directory: Path, *, force: bool) -> None:
    """Checks that a preparation may be written there.

    Args:
        directory: something new, an empty directory, or with `force` an earlier preparation.
        force: whether an earlier preparation may be replaced.

    Raises:
        InputError: it is something else.
    """
    if not directory.exists():
        return
    if not directory.is_dir():
        raise InputError(f"{directory}: is a file, but a directory is written")
    if others := list_others(directory, PREPARED_FILES):
        shown = ", ".join(others[:5])
        raise InputError(f"{directory}: holds other things ({shown}): choose another name")
    if list_others(directory, ()) and not force:
        raise InputError(f"{directory}: holds an earlier preparation: --force replaces it")


def check_inputs(directory: Path, tables: Sequence[Path]) -> None:
    """Checks that no table would be replaced, and that the output would not become a table's part.

    Raises:
        InputError: a table lies within the directory, or is a folder that holds it.
    """
    for table in tables:
        place = table.resolve()
        if place.is_relative_to(directory):
            raise InputError(f"{table}: lies in the output {directory}, which would replace it")
        if directory.is_relative_to(place):
            raise InputError(f"{directory}: the output lies within {table}, which is read whole")


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Writes a JSON object, a name a line."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    path.write_bytes(orjson.dumps(dict(value), option=options))


_FLOATS = "and others are taken as integers that became floats: their fraction is dropped"
_CLASSES_SHOWN = 5
SMALLEST_VOCABULARY = 2  # the documentation's smallest vocab_size

SplitCounts: TypeAlias = Mapping[SplitName, SplitCount]


def finish(
    directory: Path, collection: Collection, given: GivenSides, wanted: Sequence[SplitName]
) -> PreparationReport:
    """Writes the parts, the vocabularies, what else `o2v train --data` reads, and the settings.

    Args:
        directory: to write in; the spilled records there are deleted.
        collection: what the first pass gathered.
        given: vocabularies and tokenizers to use instead of counted tokens.
        wanted: the parts that must have records.

    Raises:
        InputError: a part has no records.
        RecordError: no token of a record has an id.
    """
    numberings, outcome = make_numberings(collection, given), collection.labels.conclude()
    counts: dict[SplitName, SplitCount] = {}
    for part, spill in collection.spills.items():
        if part in wanted:
            count = counts[part] = SplitCount.empty()
            chunks = number_part(spill.read(), numberings, outcome, count, collection.problems)
            write_part(directory / f"{part}.jsonl", chunks)
        spill.remove()
    settings, report = conclude(collection, numberings, outcome, counts)
    _write_inputs(directory, collection.sides, numberings)
    if outcome.names:
        write_json(directory / LABELS, outcome.names)
    write_json(directory / HYPERPARAMETERS, settings)
    return report


def conclude(
    collection: Collection, numberings: Numberings, outcome: Outcome, counts: SplitCounts
) -> tuple[dict[str, str], PreparationReport]:
    """The hyperparameters that follow from the data, and what was found.

    Raises:
        InputError: a part has no records.
        HyperparameterError: the data is outside what the hyperparameters can say.
    """
    _require_records(counts, collection.problems)
    for remark in find_missing_classes(outcome, counts):
        collection.problems.remark(remark)
    sizes = _find_vocab_sizes(numberings, counts, shared=collection.shared)
    settings = make_settings(
        collection.sides,
        sizes,
        _find_longest(counts),
        outcome.hyperparameters,
        shared=collection.shared,
    )
    problems = collection.problems
    report = PreparationReport(
        *(counts, collection.sides, sizes, outcome.text, problems),
        negatives=collection.negatives,
    )
    return settings, report


def find_missing_classes(outcome: Outcome, counts: SplitCounts) -> Iterator[str]:
    """Remarks on parts that lack records of a class, or have labels that are not classes."""
    if "num_classes" not in outcome.hyperparameters and look_like_classes(counts["train"].classes):
        others = {label for count in counts.values() for label in count.classes}
        if strange := sorted(others - counts["train"].classes):
            yield f"labels are for regression, as validation or test has {strange[0]:g}"
    classes = range(int(outcome.hyperparameters.get("num_classes", 0)))
    names = {number: name for name, number in outcome.names.items()}
    for part, count in counts.items():
        missing = [repr(names.get(n, n)) for n in classes if n not in count.classes]
        if missing:
            yield f"{part} has no record of class {', '.join(missing[:_CLASSES_SHOWN])}"


def make_numberings(collection: Collection, given: GivenSides) -> Numberings:
    """The numbering of each side: None for ids, one object where both share a vocabulary."""
    first = _make_numbering(0, collection, given[0])
    return first, first if collection.shared else _make_numbering(1, collection, given[1])


def _make_numbering(at: int, collection: Collection, given: Given) -> Numbering | None:
    """Among single values 1.0 may be 1: if a given vocabulary has 1, or the column is integers."""
    side = collection.sides[at]
    words = collection.words[at]
    if side.kind == "ids":
        return None
    sides = collection.sides if collection.shared else (side,)
    values = all(each.kind == "value" for each in sides)
    integers = values and (given is not None or words.are_whole())
    numbering = Numbering.of(words, side, given, integers=integers)
    if integers and (token := next(words.find_floats(numbering.vocabulary), None)):
        name = " and ".join(f"in{n}" for n in (0, 1)) if collection.shared else f"in{at}"
        collection.problems.remark(f"{name} (column {side.column!r}): {token[:40]!r} {_FLOATS}")
    return numbering


def _require_records(counts: SplitCounts, problems: SkippedRows) -> None:
    for part, count in counts.items():
        if not count.records:
            total = sum(other.records for other in counts.values())
            none = f"{part} gets none of the {total} records that can be used"
            reasons = f"; left out {problems.count:,}: {'; '.join(problems.listed)}"
            raise InputError(none + reasons * bool(problems.count))


def _write_inputs(directory: Path, sides: tuple[Side, Side], numberings: Numberings) -> None:
    """Writes how raw values become ids, and the vocabularies."""
    first, second = map(make_tokenizer, sides, numberings)
    described, files = compose_inputs((first, second))
    write_json(directory / INPUTS, described)
    for name, content in files.items():
        (directory / name).write_bytes(content)


def _find_vocab_sizes(
    numberings: Numberings, counts: SplitCounts, *, shared: bool
) -> tuple[int, int]:
    """The vocabulary size of each side; for ids, one that holds the largest of any part."""
    largest = [max(count.sides[at].largest for count in counts.values()) for at in (0, 1)]
    if shared:
        largest = [max(largest)] * 2
    first, second = (
        max(ids + 1, SMALLEST_VOCABULARY) if numbering is None else numbering.vocabulary.size
        for numbering, ids in zip(numberings, largest, strict=True)
    )
    return first, second


def _find_longest(counts: SplitCounts) -> tuple[int, int]:
    """The longest sequence of each side in any part, so that nothing is cut; at least 1."""
    first, second = (max(1, *(c.sides[at].longest for c in counts.values())) for at in (0, 1))
    return first, second
