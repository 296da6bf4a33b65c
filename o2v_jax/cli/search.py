"""`o2v search`: queries in, the best items of an index out."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from o2v_jax.cli.options import FOLDER, PATH, dtype_option, model_option, resolve_model_path
from o2v_jax.cli.streams import write_output
from o2v_jax.constants import DType
from o2v_jax.errors import RecordError

if TYPE_CHECKING:
    from o2v_jax.checkpoint import Model
    from o2v_jax.data.ragged import Ragged
    from o2v_jax.retrieval import Hits, Index


@click.command(short_help="Search an index.")
@model_option
@dtype_option
@click.option("--index", "index_path", type=FOLDER, required=True, help="What o2v index wrote.")
@click.argument("queries", nargs=-1, metavar="[QUERY]...")
@click.option("--file", type=PATH, help="File of queries, - for standard input.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "json", "text"]),
    help="Form of --file; default by its ending (.json, .tsv, .txt), else jsonl.",
)
@click.option(
    "-k", type=click.IntRange(1), default=10, show_default=True, help="Items for each query."
)
@click.option("--exclude", multiple=True, metavar="KEY", help="Leave this item out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a query.")
def search(
    model_path: Path | None,
    dtype: DType,
    index_path: Path,
    queries: tuple[str, ...],
    file: Path | None,
    form: str | None,
    k: int,
    exclude: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print the best items for each QUERY: rank, score and key, tab-separated.

    A QUERY is what the model's tokenizer of the side that asks takes, such as a text or a user; of
    a model without tokenizers, token ids between blanks. A file of queries holds {"in0": [ids]} or
    {"in1": [ids]} a line, or one text a line. Of several queries, and of a file, the items
    are preceded by the query's number, from 0. --exclude may be repeated.
    """
    from o2v_jax.checkpoint import load
    from o2v_jax.retrieval import Index
    from o2v_jax.scoring import Scorer, use_compilation_cache

    if bool(queries) == (file is not None):
        raise click.UsageError("give either QUERY or --file")
    if form and file is None:
        raise click.UsageError("--format is for --file")
    use_compilation_cache()
    model = load(resolve_model_path(model_path))
    index = Index.load(index_path, model, scorer=Scorer(model, dtype=dtype))
    first = 0
    is_one = len(queries) == 1 and not as_json
    for some in _read_queries(queries, file, form, model, index):
        found = index.search(some, k, exclude=exclude)
        lines = _format_json(found) if as_json else _format_lines(found, None if is_one else first)
        with write_output():
            for line in lines:
                click.echo(line)
        first += len(found)


def _read_queries(
    queries: Sequence[str], file: Path | None, form: str | None, model: "Model", index: "Index"
) -> Iterator["Ragged"]:
    """The queries as ids; those of a file chunk by chunk."""
    from o2v_jax.cli.inputs import open_input, read_records
    from o2v_jax.data.validate import NO_TOKEN

    side = index.query_side
    if file is None:
        yield _tokenize(queries, model, side)
        return
    with open_input(file) as stream:
        for records in read_records(stream, file, form, model, side=side):
            has = records.has0 if side == 0 else records.has1
            if not has.all():
                where = records.places.of(int(has.argmin()))
                raise RecordError(where, f"has no in{side}, which asks for items of this index")
            rows = records.in0 if side == 0 else records.in1
            if not rows.lengths.all():
                where = records.places.of(int(rows.lengths.argmin()))
                raise RecordError(where, NO_TOKEN)
            yield rows


def _tokenize(queries: Sequence[str], model: "Model", side: int) -> "Ragged":
    from o2v_jax.data.ragged import Ragged
    from o2v_jax.data.tokenizers import Tokenizer
    from o2v_jax.errors import InputError

    tokenizer = Tokenizer("ids") if model.tokenizers is None else model.tokenizers[side]
    rows: list[list[int]] = []
    try:
        rows.extend(tokenizer.encode_each(queries))
    except InputError as error:
        raise RecordError(f"query {len(rows)}", str(error)) from error
    return Ragged.of(rows)


def _format_json(found: "Sequence[Hits]") -> Iterator[str]:
    for hits in found:
        scores = [float(f"{score:.8g}") for score in hits.scores.tolist()]
        yield json.dumps({"keys": hits.keys, "scores": scores}, ensure_ascii=False)


def _format_lines(found: "Sequence[Hits]", first: int | None) -> Iterator[str]:
    """Lines of rank, score and key, after the query's number if it is one of several."""
    for number, hits in enumerate(found):
        start: list[Any] = [] if first is None else [first + number]
        ranked = zip(hits.scores.tolist(), hits.keys, strict=True)
        for rank, (score, key) in enumerate(ranked, 1):
            yield "\t".join(map(str, [*start, rank, f"{score:.6g}", key]))
