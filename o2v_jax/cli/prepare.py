"""`o2v prepare`: raw tables in, what `o2v train` reads out."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from o2v_jax.cli.options import FILE, PATH, SEED
from o2v_jax.cli.streams import say
from o2v_jax.cli.training_data import expand_paths

if TYPE_CHECKING:
    from o2v_jax.preparation import LabelColumn, Preparation, Side


KIND = click.Choice(["text", "tokens", "value", "ids"])
TOKENIZER = click.Choice(["word", "bpe", "wordpiece", "treebank"])
SIZE = click.IntRange(2, 3_000_000)
SHARE = click.FloatRange(0, 1, max_open=True)


@click.command(short_help="Turn tables into what train reads.")
@click.argument("files", nargs=-1, metavar="[FILE]...", callback=expand_paths)
@click.option("--in0", required=True, metavar="COLUMN", help="Column of in0.")
@click.option("--in1", required=True, metavar="COLUMN", help="Column of in1.")
@click.option(
    "--negatives",
    metavar="COLUMN",
    multiple=True,
    help="Column of hard negatives, read as in1 is; may be repeated.",
)
@click.option("--in0-type", type=KIND, default="text", show_default=True, help="What it holds.")
@click.option("--in1-type", type=KIND, default="text", show_default=True, help="What it holds.")
@click.option("--in0-tokenizer", type=TOKENIZER, help="What splits texts; default: word.")
@click.option("--in1-tokenizer", type=TOKENIZER, help="That of in1; default: as for in0.")
@click.option("--label", metavar="COLUMN", help="Column of labels; none: every label is 1.")
@click.option("--classes", metavar="A,B,C", help="Names of the classes 0, 1, 2 ... in --label.")
@click.option(
    "--output-layer",
    type=click.Choice(["softmax", "mean_squared_error"]),
    help="Labels are classes, or any numbers; default: inferred from the labels.",
)
@click.option(
    "--vocab-size", type=SIZE, help="Maximum vocabulary size; keeps the most frequent tokens."
)
@click.option("--in1-vocab-size", type=SIZE, help="That of in1; default: as for in0.")
@click.option(
    "--min-count", type=click.IntRange(1), help="Ids for tokens seen at least this often."
)
@click.option("--in1-min-count", type=click.IntRange(1), help="That of in1; default: as for in0.")
@click.option("--shared-vocabulary", "shared", is_flag=True, help="One vocabulary for in0 and in1.")
@click.option("--vocabulary", type=FILE, help="Vocabulary to use as it is, of in0 or of both.")
@click.option("--in1-vocabulary", type=FILE, help="Vocabulary to use as it is, of in1.")
@click.option(
    "--validation",
    type=SHARE,
    default=0.0,
    show_default=True,
    help="Share of FILE to validate with.",
)
@click.option(
    "--test", type=SHARE, default=0.0, show_default=True, help="Share of FILE to test with."
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Decides which records are for validation and for test.",
)
@click.option(
    "--validation-file",
    metavar="FILE",
    multiple=True,
    help="A table to validate with.",
    callback=expand_paths,
)
@click.option(
    "--test-file",
    metavar="FILE",
    multiple=True,
    help="A table to test with.",
    callback=expand_paths,
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "tsv", "parquet", "jsonl"]),
    help="Input format of all tables (default: from the file extension).",
)
@click.option(
    "--delimiter",
    metavar="TEXT",
    help=r"Separates cells, instead of CSV's comma and TSV's tab: ';', '|', '::', '\t'.",
)
@click.option("--no-header", is_flag=True, help="CSV and TSV begin with data, not with names.")
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="Stop at the first bad record, or leave bad records out and count them.",
)
@click.option("--output", type=PATH, required=True, help="Directory to write.")
@click.option("--force", is_flag=True, help="Replace an earlier preparation there.")
@click.pass_context
def prepare(ctx: click.Context, /, **options: Any) -> None:
    """Turn tables into JSON Lines of token ids, vocabularies and hyperparameters.

    FILE is CSV (quoted as RFC 4180), TSV (never quoted), JSON Lines or Parquet; text may be
    gzipped. It may be a folder of such files, as Spark writes them: names that begin with . or _
    are passed over. COLUMN is a name, or a number from 0 (not of JSON Lines). A column holds, by
    its type:

    \b
    text    a text, which the tokenizer splits and makes lower case
    tokens  tokens between blanks, made lower case
    value   one token, the cell as it is: a user, a film, a category
    ids     token ids between blanks, which stay as they are

    Parquet and JSON Lines may also hold lists of tokens or ids. --negatives names a column of in1
    that are known to be wrong for the in0 of their row: a cell holds one, or of texts and values a
    list of any number; an empty cell holds none. Ids that became floats, such as 1.0, are taken as
    1, and so are values where no value of the column has another fraction, or where the given
    vocabulary has 1 and not 1.0. Vocabularies are counted in the training part alone, that of in1
    in its negatives too; id 0 is <pad>, id 1 <unk>. A text is split by its tokenizer:

    \b
    word       at blanks and punctuation, after Unicode's NFKC
    bpe        so, and words into byte pairs, trained on the training part
    wordpiece  so, and words into word pieces, trained on the training part
    treebank   as the Penn Treebank, by NLTK, one sentence at a time

    Subwords get 30,000 ids at most if --vocab-size does not say otherwise. --vocabulary is a JSON
    map of token -> id or, of text, a tokenizer.json of the tokenizers library. Labels are numbers,
    or names if most of the first few thousand are; names without --classes get numbers in their
    order by code point.

    Writes train.jsonl, validation.jsonl and test.jsonl, vocab0.json and vocab1.json or vocab.json,
    of texts tokenizer0.json and tokenizer1.json or tokenizer.json, inputs.json, labels.json if
    labels are names, and hyperparameters.json, which holds what follows from the data and is meant
    to be added to.
    """  # noqa: D301 - click's mark of a paragraph to leave alone
    from rich.console import Console

    from o2v_jax.signals import Signals

    _refuse_contradictions(options)
    _refuse_idle_seed(ctx)
    rows = 0
    with Console(stderr=True).status("") as status:

        def count_rows(more: int) -> None:
            nonlocal rows
            rows += more
            status.update(f"{rows:,} rows")

        with Signals().caught():  # so that half an output is removed
            report = _make_preparation(options, count_rows).run()
    for line in report.lines():
        say(line)


def _make_preparation(options: dict[str, Any], progress: Callable[[int], None]) -> "Preparation":
    from o2v_jax.preparation import Layout, Preparation, Split

    return Preparation(
        files=options["files"],
        sides=(_make_side(options, 0), _make_side(options, 1)),
        output=options["output"],
        label=_make_label_column(options),
        validation_files=options["validation_file"],
        test_files=options["test_file"],
        split=Split(options["validation"], options["test"], options["seed"]),
        layout=Layout(
            options["form"],
            header=not options["no_header"],
            delimiter=_unescape(options["delimiter"]),
        ),
        negatives=options["negatives"],
        shared=options["shared"],
        skip=options["on_error"] == "skip",
        force=options["force"],
        progress=progress,
    )


def _unescape(delimiter: str | None) -> str | None:
    """A tab is hard to type, so it may be written as backslash and t."""
    return None if delimiter is None else delimiter.replace(r"\t", "\t")


def _make_side(options: dict[str, Any], side: int) -> "Side":
    """A side; what is not given for in1 is as for in0, except a vocabulary that is not shared."""
    from o2v_jax.preparation import Side

    limits = {
        name: (side and options[f"in1_{name}"]) or options[name]
        for name in ("vocab_size", "min_count")
    }
    kind = options[f"in{side}_type"]
    own = side and not options["shared"]
    vocabulary = options["in1_vocabulary" if own else "vocabulary"]
    given = {name: value for name, value in limits.items() if value}
    tokenizer = (side and options["in1_tokenizer"]) or options["in0_tokenizer"]
    if kind != "text" and not options[f"in{side}_tokenizer"]:
        tokenizer = None
    return Side(options[f"in{side}"], kind, vocabulary=vocabulary, tokenizer=tokenizer, **given)


def _make_label_column(options: dict[str, Any]) -> "LabelColumn | None":
    from o2v_jax.preparation import LabelColumn

    if options["label"] is None:
        return None
    classes = options["classes"]
    names = () if classes is None else tuple(name.strip() for name in classes.split(","))
    return LabelColumn(options["label"], names, options["output_layer"])


def _refuse_contradictions(options: dict[str, Any]) -> None:
    given = {name for name, value in options.items() if value}
    limits = {"vocab_size", "min_count", "in1_vocab_size", "in1_min_count"}
    alone = {"vocabulary", "in1_vocabulary"} & given
    ids = "ids" in (options["in0_type"], options["in1_type"])
    if not options["label"] and (odd := {"classes", "output_layer"} & given):
        raise click.UsageError(f"{_list_flags(odd)} needs --label")
    if "shared" in given and (odd := {"in1_vocabulary", "in1_vocab_size", "in1_min_count"} & given):
        raise click.UsageError(f"--shared-vocabulary cannot be combined with {_list_flags(odd)}")
    if alone and (odd := limits & given):
        raise click.UsageError(f"a vocabulary is used as it is: leave {_list_flags(odd)} out")
    for side, names in ((0, {"vocab_size", "min_count"}), (1, {"in1_vocab_size", "in1_min_count"})):
        if options[f"in{side}_type"] == "ids" and (odd := names & given):
            raise click.UsageError(_describe_useless(odd, side))
    if len(alone) == 1 and "shared" not in given and not ids:
        (missing,) = {"vocabulary", "in1_vocabulary"} - alone
        raise click.UsageError(
            f"{_list_flags(alone)} is for one side: give {_list_flags({missing})} too, or "
            "--shared-vocabulary where one file is for both"
        )


def _refuse_idle_seed(ctx: click.Context) -> None:
    """Refuses a seed that has no effect; one of the environment may be for other preparations."""
    typed = ctx.get_parameter_source("seed") is click.core.ParameterSource.COMMANDLINE
    if typed and not (ctx.params["validation"] or ctx.params["test"]):
        raise click.UsageError("--seed has no effect without --validation or --test")


def _describe_useless(odd: set[str], side: int) -> str:
    message = f"in{side} holds ids already, which leaves nothing for {_list_flags(odd)}"
    return (
        message
        if side
        else f"{message}: for in1 there is {_list_flags({f'in1_{name}' for name in odd})}"
    )


def _list_flags(names: set[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in sorted(names))
