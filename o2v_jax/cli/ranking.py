"""`o2v evaluate --ranking`: the records that it reads, and the metrics that it prints."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from o2v_jax.cli.streams import say
from o2v_jax.constants import DType
from o2v_jax.errors import InputError, RecordError

if TYPE_CHECKING:
    from o2v_jax.checkpoint import Model
    from o2v_jax.data import Records
    from o2v_jax.data.ragged import Ragged
    from o2v_jax.data.records import LabelValues, Pairs
    from o2v_jax.evaluation import RankingEvaluation


@dataclass(frozen=True)
class RankingSource:
    """What is ranked for what.

    Attributes:
        file: the pairs, with labels or without; "-" is standard input.
        form: of all files; None: by the ending of each.
        candidates: a file of what is ranked; None: what the pairs hold.
        known: a file of pairs that are taken out of the lists.
        query_side: 0 if in0 is the query, 1 if in1 is.
        class_index: the class that ranks.
    """

    file: Path
    form: str | None
    candidates: Path | None = None
    known: Path | None = None
    query_side: Literal[0, 1] = 0
    class_index: int | None = None


def rank_records(model: "Model", source: RankingSource, dtype: DType) -> "RankingEvaluation":
    """Reads the files, and ranks every query among all candidates.

    Raises:
        InputError: a file cannot be read or is empty, or no record is relevant.
        RecordError: names the file, the line and what is wrong.
    """
    from o2v_jax.data.records import Pairs
    from o2v_jax.evaluation import rank_pairs
    from o2v_jax.scoring import Scorer

    records = _read_pairs(model, source.file, source.form)
    pairs = _cut(model, Pairs(records.in0, records.in1, _find_labels(records)))
    if pairs.labels is None:
        say("The records have no labels: every pair is relevant.")
    known = None
    if source.known:
        known = _cut(model, _read_pairs(model, source.known, source.form))
    return rank_pairs(
        Scorer(model, dtype=dtype),
        pairs,
        candidates=_read_candidates(model, source) if source.candidates else None,
        known=known,
        query_side=source.query_side,
        class_index=source.class_index,
        place_of=records.places.of,
    )


def format_ranking(found: "RankingEvaluation", *, as_json: bool) -> str:
    """The metrics as one JSON object, or a line each."""
    metrics = {**found.metrics, "records": len(found.ranks)}
    if as_json:
        return json.dumps(metrics)
    return "\n".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in metrics.items()
    )


def _read_pairs(model: "Model", file: Path, form: str | None) -> "Records":
    from o2v_jax.cli.inputs import require_sides

    records = _read_all(model, file, form, labelled=None)
    require_sides(records, records.has0 & records.has1, "a ranking needs both in0 and in1")
    return records


def _read_candidates(model: "Model", source: RankingSource) -> "Ragged":
    """The objects of the side that is ranked; the other side of pairs is ignored."""
    from o2v_jax.cli.inputs import require_sides

    assert source.candidates is not None  # noqa: S101 - the caller has asked
    side: Literal[0, 1] = 0 if source.query_side else 1
    records = _read_all(model, source.candidates, source.form, labelled=False, side=side)
    require_sides(records, (records.has0, records.has1)[side], f"a candidate needs in{side}")
    return records.sides[side].cut(model.config.encoder(side).max_seq_len)


def _read_all(
    model: "Model",
    file: Path,
    form: str | None,
    *,
    labelled: bool | None,
    side: Literal[0, 1] = 0,
) -> "Records":
    """All records of a file; a warning is logged, once a side, if any are cut."""
    from o2v_jax.cli.inputs import open_input, read_records, show_input
    from o2v_jax.data.warnings import DataWarnings

    name, notices = show_input(file), DataWarnings(model.config)
    with open_input(file) as stream:
        given = read_records(stream, file, form, model, labelled=labelled, side=side)
        chunks = [chunk for chunk in given if len(chunk)]
    if not chunks:
        raise InputError(f"{name}: holds no records")
    records = _join(chunks)
    for at, rows in enumerate(records.sides):
        notices.check(at, rows, name)
    return records


def _join(chunks: list["Records"]) -> "Records":
    from o2v_jax.data import Places, Records
    from o2v_jax.data.ragged import Ragged

    lines = [chunk.places.lines for chunk in chunks if chunk.places.lines is not None]
    labels = [chunk.labels for chunk in chunks if chunk.labels is not None]
    return Records(
        Ragged.concatenate([chunk.in0 for chunk in chunks]),
        Ragged.concatenate([chunk.in1 for chunk in chunks]),
        np.concatenate(labels) if labels else None,
        has0=np.concatenate([chunk.has0 for chunk in chunks]),
        has1=np.concatenate([chunk.has1 for chunk in chunks]),
        places=Places(chunks[0].places.name, np.concatenate(lines) if lines else None),
    )


def _find_labels(records: "Records") -> "LabelValues | None":
    """The labels, or None if no record has one.

    Raises:
        RecordError: some have one and some do not.
    """
    if records.labels is None:
        return None
    lacks = np.isnan(records.labels)
    if lacks.any() and not lacks.all():
        where = records.places.of(int(lacks.argmax()), ".label")
        raise RecordError(
            where, "has no label, but other records do: give all of them one, or none"
        )
    return None if lacks.all() else records.labels


def _cut(model: "Model", pairs: "Pairs") -> "Pairs":
    """The pairs as the model reads them."""
    from o2v_jax.data.records import Pairs

    first, second = (
        rows.cut(model.config.encoder(side).max_seq_len) for side, rows in enumerate(pairs.sides)
    )
    return Pairs(first, second, pairs.labels)
