"""The Flask app: a minimal shim around `o2v_jax.server.http`, which decides every response.

Flask calls it with a thread for each request, and only moves requests and responses.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask import Flask, Response, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException

from o2v_jax.errors import InputError, O2VError
from o2v_jax.server import http
from o2v_jax.server.loading import create_service
from o2v_jax.server.protocol import ScorerLike
from o2v_jax.server.settings import ServerSettings

if TYPE_CHECKING:
    from o2v_jax.checkpoint import Model
    from o2v_jax.retrieval import Index


class StartError(click.ClickException, O2VError):
    """What the environment names cannot be served; `flask run` shows this as one line."""


def create_app(
    model: "Model | str | Path | None" = None,
    *,
    settings: ServerSettings | None = None,
    scorers: Sequence[ScorerLike] | None = None,
    index: "Index | str | Path | None" = None,
) -> Flask:
    """The SageMaker contract around one model.

    Warm-up runs in the background; requests that arrive meanwhile are answered, only slower.
    `app.extensions["o2v_jax"]` is the `Service`; `close` it to end its thread before the process.

    Args:
        model: a loaded model or the path of one; None: the one that the settings name.
        settings: None: those of the environment.
        scorers: serve these, one for each device, instead of new ones of `model`.
        index: an index of the model, or the path of one; None: the one that the settings name, if
            they do.

    Raises:
        InputError: a setting cannot be used, or there is no model.
        CheckpointError: the model or the index cannot be loaded, or the index is of another model.
        MissingExtraError: the index needs an extra that is not installed.
        StartError: any of these, where no argument was given, as by `flask --app serving.app run`.
    """
    is_given = any(argument is not None for argument in (model, settings, scorers, index))
    with nullcontext() if is_given else _start_errors():
        service = create_service(model, settings=settings, scorers=scorers, index=index)
    contract = http.Contract(service)

    def respond(*_: object, **__: object) -> Response:
        sent = {name.lower(): value for name, value in request.headers.items()}
        query = request.query_string.decode("latin-1")
        head = http.Request(request.method, request.path, sent, query)
        return _convert(contract.handle(head, _read))

    app = Flask(__name__, static_folder=None)
    app.extensions["o2v_jax"] = service
    app.url_map.merge_slashes = False  # or Flask would redirect
    for path, methods in http.ROUTES.items():
        rule = path.replace("NAME", "<name>")
        app.add_url_rule(rule, path, respond, methods=methods, provide_automatic_options=False)
    for status in (404, 405):
        app.register_error_handler(status, respond)
    return app


@contextmanager
def _start_errors() -> Iterator[None]:
    try:
        yield
    except O2VError as error:
        raise StartError(str(error)) from error


def _read(size: int) -> bytes:
    try:
        return request.stream.read(size)
    except (HTTPException, OSError) as error:
        raise InputError("the body broke off before its end") from error


def _convert(response: http.Response) -> Response:
    converted = Response(response.body, response.status)
    converted.headers = Headers(response.headers)  # these alone, without Flask's own
    # A whole body goes out as it is, in one write; Flask would wrap it to be sent piece by piece.
    converted.direct_passthrough = isinstance(response.body, bytes)
    converted.call_on_close(response.close)
    return converted
