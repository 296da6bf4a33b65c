"""Rows of results as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any


def format_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> str:
    """A table of the rows.

    Args:
        rows: at least one.
        names: the columns; by default all that any row has, in their order of appearance.
    """
    columns = list(names or dict.fromkeys(name for row in rows for name in row))
    body = [[format_cell(row.get(name)) for name in columns] for row in rows]
    lines = [columns, ["---"] * len(columns), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def format_cell(value: Any) -> str:
    """A value as it stands in a table: about four digits, a dash for None."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
