"""`o2v inspect`: what a model is made of and which programs serve it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from o2v_jax.cli.options import model_option, resolve_model_path
from o2v_jax.cli.streams import write_output

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from o2v_jax.checkpoint import Model


@click.command(short_help="Show a model's network, sizes and programs.")
@model_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(model_path: Path | None, as_json: bool) -> None:
    """Show the network with shapes, parameter counts and bytes, and the padded shapes it uses."""
    from o2v_jax.checkpoint import load

    path = resolve_model_path(model_path)
    description = describe_model(load(path))
    if as_json:
        with write_output():
            click.echo(json.dumps({"model": str(path), **description}, indent=2))
    else:
        _print(path, description)


def describe_model(model: "Model") -> dict[str, Any]:
    """A model in plain data: hyperparameters, parameters, shapes and programs, metrics."""
    from o2v_jax.checkpoint import flatten
    from o2v_jax.hyperparameters import objective_to_json
    from o2v_jax.scoring import choose_model_shapes

    shapes = choose_model_shapes(model)
    parameters = [
        {"name": name, "shape": list(array.shape), "count": array.size, "bytes": array.nbytes}
        for name, array in sorted(flatten(model.params).items())
    ]
    objective = model.config.objective
    return {
        "hyperparameters": model.config.to_strings(),
        "objective": None if objective is None else objective_to_json(objective),
        "parameters": parameters,
        "parameter_count": sum(row["count"] for row in parameters),
        "bytes": sum(row["bytes"] for row in parameters),
        "inputs": _describe_inputs(model),
        "class_names": list(model.class_names),
        "buckets": _describe_buckets(shapes),
        "programs": len(shapes.list_programs()),
        "programs_on_demand": len(shapes.list_on_demand()),
        "metrics": dict(model.metrics),
        "provenance": dict(model.provenance),
        "card": model.card,
    }


def _describe_inputs(model: "Model") -> dict[str, Any] | None:
    """What each side holds, what splits its texts, and how many tokens its vocabulary has."""
    if model.tokenizers is None:
        return None
    return {
        side: {
            "kind": each.kind,
            "tokenizer": each.algorithm,
            "tokens": None if each.vocabulary is None else len(each.vocabulary.tokens),
            "unknown_id": each.unknown_id,
        }
        for side, each in zip(("in0", "in1"), model.tokenizers, strict=True)
    }


def _describe_buckets(shapes: Any) -> list[dict[str, Any]]:
    """For each part of the network: its padded lengths, each with its batch sizes."""
    parts = dict(zip(shapes.encoder_names, shapes.usual, strict=True))
    parts |= {"pairs": shapes.fused, "head": shapes.head, "rows": shapes.fetch}
    return [
        {"part": part, "length": length, "batches": list(batches)}
        for part, table in parts.items()
        for length, batches in zip(table.lengths, table.batch_sizes, strict=True)
    ]


def _print(path: Path, description: dict[str, Any]) -> None:
    from rich.console import Console

    # paths, settings and metrics may hold what Rich takes for markup or an emoji's name
    console = Console(highlight=False, markup=False, emoji=False)
    with write_output():
        # Rich would end the process where nobody reads any more
        with console.capture() as text:
            _print_to(console, path, description)
        click.echo(text.get(), nl=False)


def _print_to(console: "Console", path: Path, description: dict[str, Any]) -> None:
    from o2v_jax.checkpoint.summary import strip_front_matter

    console.print(str(path), style="bold")
    console.print(_make_parameter_table(description))
    console.print(_make_bucket_table(description))
    count, on_demand = description["programs"], description["programs_on_demand"]
    console.print(
        f"{count} programs at warm-up, {on_demand} more for long infer_max_seqlens and for rank of "
        "given encodings"
    )
    for side, held in (description["inputs"] or {}).items():
        tokens = "" if held["tokens"] is None else f", {held['tokens']:,} in its vocabulary"
        split = f" by the tokenizer {held['tokenizer']}" if held["tokenizer"] else ""
        console.print(f"{side}: {held['kind']}{split}{tokens}{_describe_unknown(held)}")
    if description["class_names"]:
        console.print(f"classes: {', '.join(description['class_names'])}", markup=False)
    if description["objective"]:
        chosen = ", ".join(f"{name}={value}" for name, value in description["objective"].items())
        console.print(f"objective: {chosen}")
    settings = description["hyperparameters"].items()
    console.print(", ".join(f"{name}={value}" for name, value in settings), style="dim")
    for name, value in description["metrics"].items():
        console.print(f"{name}: {value}")
    if description["card"]:
        console.print(f"\n{strip_front_matter(description['card'])}", soft_wrap=True)


def _describe_unknown(held: dict[str, Any]) -> str:
    """What becomes of tokens that the vocabulary lacks."""
    if held["tokens"] is None:
        return ""
    index = held["unknown_id"]
    return "; unknown tokens are dropped" if index is None else f"; unknown tokens have id {index}"


def _make_parameter_table(description: dict[str, Any]) -> "Table":
    rows = [
        (row["name"], "x".join(map(str, row["shape"])), f"{row['count']:,}", f"{row['bytes']:,}")
        for row in description["parameters"]
    ]
    total = ("", "", f"{description['parameter_count']:,}", f"{description['bytes']:,}")
    return _make_table(["parameter", "shape", "count", "bytes"], [*rows, total], right=2)


def _make_bucket_table(description: dict[str, Any]) -> "Table":
    rows = [
        (row["part"], str(row["length"]), ", ".join(map(str, row["batches"])))
        for row in description["buckets"]
    ]
    return _make_table(["part", "length", "batch sizes"], rows, right=3)


def _make_table(header: list[str], rows: Sequence[tuple[str, ...]], *, right: int) -> "Table":
    """A table whose columns from `right` on hold numbers."""
    from rich.table import Table

    table = Table()
    for at, name in enumerate(header):
        table.add_column(name, justify="right" if at >= right else "left")
    for row in rows:
        table.add_row(*row)
    return table
