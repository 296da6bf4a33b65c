"""`o2v score` and `o2v embed`: records in, one JSON line a record out."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import numpy as np
import numpy.typing as npt

from o2v_jax.cli.options import input_options, model_option, model_path_of
from o2v_jax.errors import InputError, RecordError

if TYPE_CHECKING:
    from o2v_jax.checkpoint import Model
    from o2v_jax.records import Records
    from o2v_jax.scoring import Scorer

Floats = npt.NDArray[np.float32]


@click.command()
@model_option
@input_options
@click.option("--text", nargs=2, metavar="TEXT TEXT", help="Score this one pair of texts.")
def score(
    model_path: Path | None, file: Path, form: str | None, text: tuple[str, str] | None
) -> None:
    """Score pairs: {"scores": [...]} for every record of FILE (default: standard input).

    JSON Lines hold {"in0": [ids], "in1": [ids]} a line; text holds two tab-separated texts a line.
    """

    def score_chunk(scorer: "Scorer", records: "Records") -> Floats:
        if not records.paired:
            at = int((~(records.has0 & records.has1)).argmax())
            raise RecordError(records.places.of(at), "scoring needs both in0 and in1")
        return scorer.score(records.in0, records.in1)

    _run(model_path, file, form, text, "scores", score_chunk)


@click.command()
@model_option
@input_options
@click.option("--text", nargs=1, metavar="TEXT", help="Embed this one text.")
@click.option(
    "--side",
    type=click.Choice(["in0", "in1"]),
    help="Which encoder to use; needed for pairs (default: the side a record has; in0 for text).",
)
def embed(
    model_path: Path | None, file: Path, form: str | None, text: str | None, side: str | None
) -> None:
    """Embed single objects: {"embeddings": [...]} for every record of FILE (default: stdin).

    JSON Lines hold {"in0": [ids]} or {"in1": [ids]} a line; text holds one text a line.
    """

    def embed_chunk(scorer: "Scorer", records: "Records") -> Floats:
        return _embedded(scorer, records, side, from_text=text is not None or form == "text")

    _run(model_path, file, form, None if text is None else (text,), "embeddings", embed_chunk)


def _run(
    model_path: Path | None,
    file: Path,
    form: str | None,
    text: tuple[str, ...] | None,
    key: Literal["scores", "embeddings"],
    compute: Callable[["Scorer", "Records"], Floats],
) -> None:
    """Reads, computes and writes chunk by chunk, so that memory stays flat."""
    from o2v_jax.checkpoint import load
    from o2v_jax.records import Format, encode
    from o2v_jax.scoring import Scorer, use_compilation_cache

    use_compilation_cache()
    model = load(model_path_of(model_path))
    scorer = Scorer(model)
    for records in _chunks(model, file, form, text):
        lines = encode(compute(scorer, records), key, Format.JSON_LINES)
        sys.stdout.buffer.write(lines + b"\n")
        sys.stdout.buffer.flush()


def _chunks(
    model: "Model", file: Path, form: str | None, text: tuple[str, ...] | None
) -> Iterator["Records"]:
    from o2v_jax.cli.inputs import opened, read_records, required, text_records
    from o2v_jax.cli.progress import Counter
    from o2v_jax.records import Places

    if text is not None:
        places = Places("--text", np.ones(1, np.int64))
        yield text_records([list(text)], required(model.vocabulary), places)
        return
    with opened(file) as stream, Counter() as counter:
        for records in read_records(stream, file, form, model.config, model.vocabulary):
            yield records
            counter.advance(len(records))


def _embedded(scorer: "Scorer", records: "Records", side: str | None, *, from_text: bool) -> Floats:
    if records.paired and side is None and not from_text:
        raise InputError("the records are pairs: say which side to embed with --side in0 or in1")
    if from_text:
        rows: Any = records.in0
        return scorer.embed(in1=rows) if side == "in1" else scorer.embed(in0=rows)
    if side is not None:
        return _one_side(scorer, records, side)
    out = np.empty((len(records), scorer.config.enc_dim), np.float32)
    out[records.has0] = scorer.embed(in0=records.in0)
    out[records.has1] = scorer.embed(in1=records.in1)
    return out


def _one_side(scorer: "Scorer", records: "Records", side: str) -> Floats:
    has = records.has0 if side == "in0" else records.has1
    if not has.all():
        raise RecordError(records.places.of(int((~has).argmax())), f"has no {side}")
    return scorer.embed(in0=records.in0) if side == "in0" else scorer.embed(in1=records.in1)
