"""Rewrites the tables of README.md and docs/benchmarks/ from results, and draws the plots.

    python -m bench.report [--results FOLDER] [--root FOLDER]

A table stands between `<!-- bench:NAME -->` and `<!-- /bench -->`; the names are those of `TABLES`.
What has no results stays as it is.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench import plots
from bench.results import FOLDER, read
from bench.summary import SOURCES, make_summary_rows
from bench.tables import format_table

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(<!-- bench:(\S+) -->\n).*?(<!-- /bench -->)", re.DOTALL)

Results = dict[str, Any]


class Table:
    """Which results a table shows.

    Args:
        file: name of the results, without .json.
        section: of them.
        columns: in this order; none: all.
    """

    def __init__(self, file: str, section: str = "rows", columns: str = "") -> None:
        self._file, self._section, self._columns = file, section, columns.split()

    def write(self, folder: Path) -> str | None:
        """In Markdown with a line on where it comes from; None without results."""
        results = read(self._file, folder)
        rows = (results or {}).get(self._section)
        if not results or not rows:
            return None
        return f"{format_table(rows, self._columns)}\n\n{describe_source(results)}\n"


class Summary:
    """The table of README.md, which shows several results."""

    def write(self, folder: Path) -> str | None:
        """In Markdown with the machine below it; None unless all results are there."""
        found = {name: read(name, folder) for name in SOURCES}
        results = {name: each for name, each in found.items() if each}
        if len(results) < len(SOURCES):
            return None
        machine = results["serve"]["machine"]
        cores = f"*{machine['cores']} cores of {machine['processor']}*"
        return f"{format_table(make_summary_rows(results))}\n\n{cores}\n"


TABLES: dict[str, Table | Summary] = {
    "summary": Summary(),
    "score": Table(
        "score",
        columns="encoder lengths records_per_s torch_eager torch_compiled onnxruntime ratio "
        "ratio_encoding_once useful_tokens of_matmul programs compiled_while_timed",
    ),
    "kept": Table(
        "kept",
        columns="encoder records records_per_s ratio best_of_ratio ratio_to_kept "
        "best_of_ratio_to_kept",
    ),
    "exact_search": Table("search", "exact"),
    "rank": Table("search", "rank"),
    "approximate_search": Table("search", "approximate"),
    "in_batch": Table("in_batch"),
    "in_batch_ranks": Table("in_batch", "ranks"),
    "growth": Table("score", "growth_with_records"),
    "tokens": Table("score", "growth_with_tokens"),
    "serve": Table(
        "serve",
        "single",
        "server connections requests_per_s p50_ms p99_ms our_rate_over_its our_p99_over_its "
        "not_200",
    ),
    "text": Table("serve", "text"),
    "large": Table("serve", "large"),
    "overload": Table(
        "serve",
        "overload",
        "pairs of_capacity offered_per_s accepted_per_s accepted_p99_ms refused_share "
        "refused_p99_ms ping_max_ms lost",
    ),
    "soak": Table("serve", "soak"),
    "search_requests": Table("search", "requests"),
    "search_overload": Table("search", "overload"),
    "compilations": Table("serve", "compilations"),
    "coldstart": Table("coldstart"),
    "memory": Table("memory"),
    "train": Table("train"),
    "train_vocabulary": Table("train", "vocabulary_sizes"),
    "transform": Table("transform"),
    "transform_overheads": Table("transform", "overheads"),
}


def describe_source(results: Results) -> str:
    """A line on where figures come from: commit, date, and what they were measured on."""
    machine = results["machine"]
    quick = " --quick" if results.get("quick") else ""
    words = [
        f"`python -m bench.{results['benchmark']}{quick}`",
        str(results.get("date", ""))[:10],
        f"commit {machine['commit']}",
        f"{machine['cores']} cores of {machine['processor']}",
        *([machine["device"]] if machine["device"] != "cpu" else []),
    ]
    return "*" + ", ".join(word for word in words if word) + "*"


def rewrite(text: str, folder: Path) -> str:
    """The text with every table that has results put between its markers.

    Raises:
        ClickException: a marker names no table.
    """

    def replace(found: "re.Match[str]") -> str:
        name = found[2]
        if name not in TABLES:
            raise click.ClickException(f"no table is named {name}: there are {', '.join(TABLES)}")
        table = TABLES[name].write(folder)
        return found[0] if table is None else f"{found[1]}{table}{found[3]}"

    return _BLOCK.sub(replace, text)


def list_pages(root: Path) -> list[Path]:
    """The pages that hold tables."""
    return [root / "README.md", *sorted((root / "docs" / "benchmarks").glob("*.md"))]


@click.command()
@click.option("--results", type=click.Path(path_type=Path), default=FOLDER, help="JSON and plots.")
@click.option("--root", type=click.Path(path_type=Path), default=ROOT, help="README.md and docs.")
def main(results: Path, root: Path) -> None:
    """Rewrite the tables of README.md and docs/benchmarks/, and draw the plots."""
    for page in list_pages(root):
        page.write_text(rewrite(page.read_text(), results))
    drawings: tuple[tuple[str, Callable[[Results], Any]], ...] = (
        ("score", plots.throughput),
        ("serve", plots.latency),
    )
    for name, draw in drawings:
        found = read(name, results)
        if found and draw(found):
            plots.save(draw(found), results / f"{draw.__name__}.png")
    plots.save(plots.padding(), results / "padding.png")


if __name__ == "__main__":
    main()
