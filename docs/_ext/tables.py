"""Reference tables in Markdown, made from the code that they describe."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus

from o2v_jax.hyperparameters import hyperparameter_table
from serving import contract, metrics, permits, service, settings


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; a cell is one line."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def hyperparameters() -> str:
    """Every hyperparameter with its values and its default."""
    rows = ((f"`{row.name}`", row.rule, _code(row.default)) for row in hyperparameter_table())
    return markdown(("name", "value", "default"), rows)


def environment() -> str:
    """The environment variables of the server, from the docstring of `Settings`."""
    return markdown(("variable", "meaning"), _attributes(settings.Settings))


def _attributes(kind: type) -> list[tuple[str, str]]:
    """Variables, which stand in brackets in the docstring of a class, and their meaning."""
    text = re.sub(r"\s+", " ", (inspect.getdoc(kind) or "").partition("Attributes:")[2])
    entries = re.split(r" (?=[a-z_]+: )", text)
    found = (re.search(r"^ ?[a-z_]+: (.*?)\s*\[([A-Z0-9_]+)\](.*)$", entry) for entry in entries)
    return [(f"`{match[2]}`", match[1] + match[3]) for match in found if match]


def statuses() -> str:
    """The status of every kind of error."""
    rows = (
        (f"{status} {HTTPStatus(status).phrase}", (inspect.getdoc(kind) or "").splitlines()[0])
        for kind, status in sorted(contract.STATUS.items(), key=lambda item: item[1])
    )
    return markdown(("status", "when"), rows)


def media_types() -> str:
    """What a Content-Type may name."""
    rows = ((f"`{name}`", f"`{found}`") for name, found in contract.MEDIA_TYPES.items())
    return markdown(("Content-Type", "is read as"), rows)


def limits() -> str:
    """The server's limits."""
    return markdown(("limit", "value"), [])


def metric_names() -> str:
    """The metrics, from the docstring of the module that defines them."""
    return (inspect.getdoc(metrics) or "").partition("\n\n")[2]


def _code(text: str) -> str:
    return f"`{text}`" if text not in {"", "required"} else text


TABLES: Mapping[str, Callable[[], str]] = {
    "hyperparameter-table": hyperparameters,
    "environment-table": environment,
    "status-table": statuses,
    "media-type-table": media_types,
    "limit-table": limits,
    "metric-list": metric_names,
}
