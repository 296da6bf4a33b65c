"""`o2v index`: a table of items in, an index that `o2v search` searches out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from o2v_jax.cli.options import (
    NEW_FOLDER,
    PATH,
    Command,
    add_options,
    dtype_option,
    model_option,
    resolve_model_path,
)
from o2v_jax.cli.streams import say
from o2v_jax.constants import DType

if TYPE_CHECKING:
    from o2v_jax.retrieval import ItemTable, Layout


def table_options(function: Command) -> Command:
    """How the tables of items and of queries are read."""
    options = (
        click.option(
            "--format",
            "form",
            type=click.Choice(["csv", "tsv", "parquet", "jsonl"]),
            help="Format of the tables; default by the file's ending.",
        ),
        click.option(
            "--delimiter",
            metavar="TEXT",
            help=r"Separates cells, instead of CSV's comma and TSV's tab: ';', '|', '::', '\t'.",
        ),
        click.option("--no-header", is_flag=True, help="CSV and TSV begin with data, not names."),
    )
    return add_options(function, options)


@click.command(short_help="Encode items for search.")
@model_option
@dtype_option
@click.argument("items", type=PATH)
@click.option(
    "--side",
    type=click.Choice(["in0", "in1"]),
    default="in1",
    show_default=True,
    help="What the items are; queries are the other.",
)
@click.option("--column", required=True, metavar="NAME", help="Column of the items' values.")
@click.option("--key", metavar="NAME", help="Column of their keys; none: rows count from 0.")
@table_options
@click.option("--output", type=NEW_FOLDER, required=True, help="Directory for the index.")
@click.option("--approximate", is_flag=True, help="Search a part of the items, by a graph.")
@click.option(
    "--class-index",
    type=click.IntRange(0),
    metavar="N",
    help="Class whose probability ranks; default 1 of two classes, needed for more.",
)
@click.option(
    "--candidates",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Items that a query is compared with, where the score is no inner product.",
)
@click.option("--queries", type=PATH, help="Table of queries to measure recall with.")
@click.option("--query-column", metavar="NAME", help="Column of the queries' values.")
def index(model_path: Path | None, dtype: DType, output: Path, **options: Any) -> None:
    """Encode the items of a table once, so that o2v search finds the best ones for a query.

    ITEMS is Parquet, CSV, TSV or JSON Lines, text perhaps gzipped, or a folder of such files; it
    may exceed the memory. COLUMN holds what the model's tokenizer of the side takes, lists of token
    ids, or encodings; of a model without tokenizers also texts with ids between blanks. Keys are
    taken as texts, and each is another.

    How queries are ranked follows from the model: by cosine or inner product after in-batch
    training, or by a linear head, a search finds exactly what a comparison with every item would
    put first. Of other heads, and with --approximate (extra `search`), the share that it finds is
    measured and printed: with --queries, or what stands in for them.
    """
    from o2v_jax.checkpoint import load
    from o2v_jax.progress import RecordCounter
    from o2v_jax.retrieval import Index
    from o2v_jax.scoring import Scorer, use_compilation_cache
    from o2v_jax.signals import Signals

    if (options["queries"] is None) != (options["query_column"] is None):
        raise click.UsageError("--queries and --query-column belong together")
    table = _make_table(options, options["items"], options["column"], options["key"])
    use_compilation_cache()
    model = load(resolve_model_path(model_path))
    scorer = Scorer(model, dtype=dtype)
    queries = None
    if options["queries"] is not None:
        asked = _make_table(options, options["queries"], options["query_column"], None)
        queries = asked.read_whole(0 if options["side"] == "in1" else 1, model)
    with RecordCounter() as counter, Signals().caught():  # so that half an output is removed
        built = Index.build(
            model,
            table,
            side=options["side"],
            output=output,
            approximate=options["approximate"],
            class_index=options["class_index"],
            candidates=options["candidates"],
            queries=queries,
            scorer=scorer,
            on_progress=counter.advance,
        )
    say(repr(built))


def _make_table(options: dict[str, Any], path: Path, column: str, key: str | None) -> "ItemTable":
    from o2v_jax.retrieval import ItemTable

    return ItemTable(path, column, key, _make_layout(options))


def _make_layout(options: dict[str, Any]) -> "Layout":
    from o2v_jax.retrieval import Layout

    delimiter = options["delimiter"]
    return Layout(
        options["form"],
        header=not options["no_header"],
        # a tab is hard to type, so it may be written as backslash and t
        delimiter=None if delimiter is None else delimiter.replace(r"\t", "\t"),
    )
