"""`o2v score` and `o2v embed`: records in, one JSON line a record out."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import click
import numpy as np

from o2v_jax.array_types import Floats
from o2v_jax.cli.options import dtype_option, input_options, model_option, resolve_model_path
from o2v_jax.cli.streams import write_output
from o2v_jax.constants import DType
from o2v_jax.errors import InputError

if TYPE_CHECKING:
    from o2v_jax.checkpoint import Model
    from o2v_jax.data import Records
    from o2v_jax.data.encoding import ResultKey
    from o2v_jax.scoring import Scorer

ComputeResults: TypeAlias = Callable[["Scorer", "Records"], Floats]


@dataclass(frozen=True)
class RecordSource:
    """Where the records come from: a file in some form, or texts of the command line.

    `side` is that of texts that stand alone.
    """

    file: Path
    form: str | None
    text: tuple[str, ...] | None
    side: Literal[0, 1] = 0

    def __post_init__(self) -> None:
        if self.text is not None and (str(self.file) != "-" or self.form):
            raise click.UsageError("--text is all of the input: leave FILE and --format out")

    def read(self, model: "Model") -> Iterator["Records"]:
        """Chunk by chunk, so that memory stays flat."""
        from o2v_jax.cli.inputs import open_input, read_records, read_text_rows
        from o2v_jax.data import Places

        if self.text is not None:
            places = Places("--text", np.ones(1, np.int64))
            yield read_text_rows([list(self.text)], model, places, side=self.side)
            return
        with open_input(self.file) as stream:
            yield from read_records(stream, self.file, self.form, model, side=self.side)


@click.command(short_help="Score pairs of token ids or texts.")
@model_option
@dtype_option
@input_options
@click.option("--text", nargs=2, metavar="TEXT TEXT", help="Score this one pair of texts.")
def score(
    model_path: Path | None,
    dtype: DType,
    file: Path,
    form: str | None,
    text: tuple[str, str] | None,
) -> None:
    """Score pairs: {"scores": [...]} for every record of FILE (default: standard input).

    JSON Lines hold {"in0": [ids], "in1": [ids]} a line; text holds two tab-separated texts a line.
    Gzipped files are read as they are. A line holds at most 6 MiB, a JSON document 100.
    """
    from o2v_jax.cli.inputs import require_sides

    def compute(scorer: "Scorer", records: "Records") -> Floats:
        require_sides(records, records.has0 & records.has1, "scoring needs both in0 and in1")
        return scorer.score(records.in0, records.in1)

    _run(model_path, dtype, RecordSource(file, form, text), "scores", compute)


@click.command(short_help="Embed single objects or one side of pairs.")
@model_option
@dtype_option
@input_options
@click.option("--text", metavar="TEXT", help="Embed this one text.")
@click.option(
    "--side",
    type=click.Choice(["in0", "in1"]),
    help="Which encoder to use: needed for pairs. Default: the side a record has; in0 for texts.",
)
def embed(
    model_path: Path | None,
    dtype: DType,
    file: Path,
    form: str | None,
    text: str | None,
    side: str | None,
) -> None:
    """Embed single objects: {"embeddings": [...]} for every record of FILE (default: stdin).

    JSON Lines hold {"in0": [ids]} or {"in1": [ids]} a line, text one text. Of pairs, --side picks
    the one to embed. Gzipped files are read as they are. A line holds at most 6 MiB, a JSON
    document 100.
    """
    texts = None if text is None else (text,)
    source = RecordSource(file, form, texts, 1 if side == "in1" else 0)

    def compute(scorer: "Scorer", records: "Records") -> Floats:
        if records.paired and side is None:
            raise InputError("the records are pairs: choose the side to embed by --side in0 or in1")
        return (
            _embed_given_sides(scorer, records)
            if side is None
            else _embed_side(scorer, records, side)
        )

    _run(model_path, dtype, source, "embeddings", compute)


def _run(
    model_path: Path | None,
    dtype: DType,
    source: RecordSource,
    key: "ResultKey",
    compute: ComputeResults,
) -> None:
    """Reads, computes and writes chunk by chunk."""
    from o2v_jax.checkpoint import load
    from o2v_jax.data.warnings import DataWarnings
    from o2v_jax.progress import RecordCounter
    from o2v_jax.scoring import Scorer, use_compilation_cache

    use_compilation_cache()
    model = load(resolve_model_path(model_path))
    scorer, notices = Scorer(model, dtype=dtype), DataWarnings(model.config)
    with RecordCounter() as counter:
        for records in filter(len, source.read(model)):
            name = records.places.name or str(source.file)
            notices.check(0, records.in0, name)
            notices.check(1, records.in1, name)
            _write(compute(scorer, records), key)
            counter.advance(len(records))


def _write(values: Floats, key: "ResultKey") -> None:
    from o2v_jax.data import Format, encode

    lines = encode(values, key, Format.JSON_LINES) + b"\n"
    with write_output():
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()


def _embed_given_sides(scorer: "Scorer", records: "Records") -> Floats:
    """Embeddings of single objects, each by the encoder of the side it is given as."""
    out = np.empty((len(records), scorer.config.enc_dim), np.float32)
    out[records.has0] = scorer.embed(in0=records.in0)
    out[records.has1] = scorer.embed(in1=records.in1)
    return out


def _embed_side(scorer: "Scorer", records: "Records", side: str) -> Floats:
    from o2v_jax.cli.inputs import require_sides

    if side == "in0":
        require_sides(records, records.has0, "has no in0")
        return scorer.embed(in0=records.in0)
    require_sides(records, records.has1, "has no in1")
    return scorer.embed(in1=records.in1)
