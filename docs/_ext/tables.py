"""Reference tables in Markdown, made from the code that they describe.

What cannot be made stands here as text, under the names that the code gives things: a name that
the code gains or loses without a text is an error.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from http import HTTPStatus

from o2v_jax.constants import LONGEST_REQUEST, STALL_S
from o2v_jax.hyperparameters import hyperparameter_table
from o2v_jax.server import batcher, http, limits, metrics, run, search, service, settings
from o2v_jax.server.errors import STATUS
from o2v_jax.server.media_types import MEDIA_TYPES

ROUTES = {
    "/invocations": "scores pairs, embeds single objects",
    "/endpoints/NAME/invocations": "the same for boto3, with any name",
    "/search": "the best items of the index, for a query; 404 without one",
    "/rerank": "candidates in order, best first, for a query",
    "/ping": "200 with an empty body once requests are answered quickly; 503 before, and while "
    "the device fails",
    "/execution-parameters": "what batch transform asks for: `MaxConcurrentTransforms`, "
    "`BatchStrategy`, `MaxPayloadInMB`",
    "/metrics": "metrics in the Prometheus text format",
}


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; each cell is one line."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def hyperparameters() -> str:
    """Every hyperparameter with its values and its default."""
    rows = ((f"`{row.name}`", row.rule, row.default) for row in hyperparameter_table())
    return markdown(("name", "value", "default"), rows)


def routes() -> str:
    """Every route that the server has, with the methods it takes."""
    rows = ((f"`{path}`", ", ".join(taken), ROUTES[path]) for path, taken in http.ROUTES.items())
    return markdown(("path", "methods", "answer"), rows)


def environment() -> str:
    """The server's environment variables, which the docstring of its settings names in brackets."""
    defaults = {field.name: field.default for field in fields(settings.ServerSettings)}
    rows = [
        (f"`{variable}`", text, _default(defaults[name]))
        for name, text, variable in _variables(settings.ServerSettings)
    ]
    return markdown(("variable", "meaning", "default"), rows)


def _variables(kind: type) -> list[tuple[str, str, str]]:
    """Attribute, meaning and variable of all attributes that have one."""
    text = re.sub(r"\s+", " ", (inspect.getdoc(kind) or "").partition("Attributes:")[2])
    found = re.findall(r" ([a-z_]+): (.*?)\[([A-Z0-9_]+)\](.*?)(?= [a-z_]+: |$)", text)
    return [
        (name, f"{start.strip()}{end}".strip(" ."), variable)
        for name, start, variable, end in found
    ]


def _default(value: object) -> str:
    return "" if value is None else f"`{value}`"


def statuses() -> str:
    """The status of every kind of error, and that of the server's own."""
    rows = [
        (status, (inspect.getdoc(kind) or "").partition("\n")[0])
        for kind, status in sorted(STATUS.items(), key=lambda item: item[1])
    ]
    rows += [(500, "The server failed: its log says why.")]
    return markdown(("status", "when"), ((_named(code), text) for code, text in sorted(rows)))


def _named(code: int) -> str:
    """A status with its name; 499, which nginx came up with, has none."""
    return f"{code} {HTTPStatus(code).phrase}" if code in set(HTTPStatus) else str(code)


def media_types() -> str:
    """What a Content-Type may name."""
    rows = ((f"`{name}`", f"`{kind.value}`") for name, kind in MEDIA_TYPES.items())
    return markdown(("Content-Type", "is read as"), rows)


def server_limits() -> str:
    """The server's limits, and what happens beyond them."""
    rows = (
        ("MiB of a body", settings.MAX_PAYLOAD_IN_MB, "413; `SAGEMAKER_MAX_PAYLOAD_IN_MB` sets it"),
        ("tokens in `infer_max_seqlens`", LONGEST_REQUEST, "400"),
        ("numbers in an answer", limits.MAX_RESPONSE_FLOATS, "413"),
        ("numbers in an answer that is sent as a whole", service.LONG_RESPONSE, "it is streamed"),
        ("hits in an answer, and items that its queries leave out", search.MAX_HITS, "413"),
        ("bodies that arrive at a time", limits.UPLOADS, "503"),
        ("requests decoded, waiting or being scored", limits.REQUESTS, "503"),
        ("records, queries and candidates of all these requests", limits.RECORDS, "503"),
        ("long answers that are sent at a time", limits.STREAMS, "503"),
        ("seconds that a request waits for the device", batcher.QUEUE_TIMEOUT_S, "503"),
        ("seconds without a byte of a body", STALL_S, "408; `--stall-seconds` sets it"),
        ("seconds of an idle connection", run.IDLE_S, "it is closed"),
        ("open connections", run.CONNECTIONS, "further ones wait"),
        ("seconds to drain after SIGTERM", run.DRAIN_S, "dropped; `--drain-seconds` sets it"),
    )
    return markdown(
        ("limit", "value", "beyond it"), ((what, f"{value:,}", more) for what, value, more in rows)
    )


def metric_names() -> str:
    """The metrics, from the docstring of the module that defines them."""
    return (inspect.getdoc(metrics) or "").partition("\n\n")[2]


TABLES: Mapping[str, Callable[[], str]] = {  # by the name of the directive
    "environment-table": environment,
    "hyperparameter-table": hyperparameters,
    "limit-table": server_limits,
    "media-type-table": media_types,
    "metric-list": metric_names,
    "route-table": routes,
    "status-table": statuses,
}
