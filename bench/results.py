"""Results as files: what was measured, on what, when."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bench.machine import describe
from bench.tables import format_table

FOLDER = Path(__file__).with_name("results")
Rows = list[dict[str, Any]]


def finish(benchmark: str, sections: dict[str, Any], file: Path | None, **about: Any) -> None:
    """Shows the tables among the sections, and then does as `keep`."""
    for name, section in sections.items():
        if isinstance(section, list) and section and isinstance(section[0], dict):
            click.echo(f"\n{name}\n{format_table(section)}")
    keep(benchmark, sections, file, **about)


def keep(
    benchmark: str,
    sections: dict[str, Any],
    file: Path | None,
    *,
    quick: bool = False,
    packages: tuple[str, ...] = (),
) -> None:
    """Writes what was measured so far, if a file was asked for."""
    if file:
        head = {"benchmark": benchmark, "quick": quick, "date": _format_now()}
        write(file, head | {"machine": describe(*packages)} | sections)


def write(file: Path, results: dict[str, Any]) -> None:
    """As JSON; folders are made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n")


def read(name: str, folder: Path = FOLDER) -> dict[str, Any] | None:
    """The results of a benchmark, None if there are none."""
    file = folder / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def _format_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
