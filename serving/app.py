"""The Flask app: routes, headers and status codes around a `Service`."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

import o2v_jax
from o2v_jax.errors import O2VError, RecordError
from serving import contract
from serving.health import Health, State
from serving.service import ScorerLike, Service
from serving.settings import Settings

if TYPE_CHECKING:
    from o2v_jax.checkpoint import Model

log = logging.getLogger(__name__)


class StartError(click.ClickException, O2VError):
    """What the environment names cannot be served; `flask run` shows this as one line."""


def create_app(
    model: "Model | str | Path | None" = None,
    *,
    settings: Settings | None = None,
    scorer: ScorerLike | None = None,
) -> Flask:
    """The SageMaker contract around one model.

    Warm-up runs in the background; requests that arrive meanwhile are answered, only slower.

    Args:
        model: a loaded model or the path of one; None: the one that the settings name.
        settings: None: those of the environment.
        scorer: serve this one instead of a new `Scorer` of `model`.

    Raises:
        InputError: a setting cannot be used, or there is no model.
        CheckpointError: the model cannot be loaded.
        StartError: either, where no argument was given, as by `flask --app serving.app run`.
    """
    is_given = any(argument is not None for argument in (model, settings, scorer))
    with nullcontext() if is_given else _start_errors():
        settings = settings or Settings.from_environment(os.environ)
        scorer = scorer or _scorer(model, settings)
    app = Flask(__name__)
    health = Health()
    _add_routes(app, Service(scorer, settings, health))
    _add_errors(app)
    app.after_request(_echo_custom_attributes)
    health.warm(scorer.warm)
    return app


@contextmanager
def _start_errors() -> Iterator[None]:
    try:
        yield
    except O2VError as error:
        raise StartError(str(error)) from error


def _scorer(model: "Model | str | Path | None", settings: Settings) -> ScorerLike:
    o2v_jax.use_compilation_cache()
    if model is None or isinstance(model, str | Path):
        model = o2v_jax.load(model or settings.model_path)
    return o2v_jax.Scorer(model, preferred_mode=settings.preferred_mode)


def _add_routes(app: Flask, service: Service) -> None:
    @app.get("/ping")
    def ping() -> Response:
        return Response(status=200 if service.health.state is State.READY else 503)

    @app.get("/execution-parameters")
    def execution_parameters() -> Response:
        return jsonify(service.settings.execution_parameters())

    @app.post("/invocations")
    @app.post("/endpoints/<_name>/invocations")
    def invocations(_name: str = "") -> Response:
        headers = request.headers
        contract.require_plain(headers.get("Content-Encoding"))
        body = service.read(request.stream, request.content_length)
        answer = service.answer(body, headers.get("Content-Type"), headers.get("Accept"))
        return Response(answer.body, content_type=str(answer.format))


def _add_errors(app: Flask) -> None:
    @app.errorhandler(O2VError)
    def wrong_request(error: O2VError) -> Response:
        path = error.where if isinstance(error, RecordError) else None
        status = contract.status_of(error)
        retry = {"Retry-After": str(contract.RETRY_AFTER_S)} if status == 503 else {}  # noqa: PLR2004
        return _error(status, contract.error_body(str(error), path=path), retry)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        allow = {name: value for name, value in error.get_headers() if name == "Allow"}
        message = f"{request.method} {request.path}: {error.description}"
        return _error(error.code or 500, contract.error_body(message), allow)

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.path, exc_info=error)
        return _error(500, contract.error_body("the server failed: its log says why"))


def _error(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, dict(headers or {}), content_type="application/json")


def _echo_custom_attributes(response: Response) -> Response:
    attributes = request.headers.get(contract.CUSTOM_ATTRIBUTES)
    if attributes is not None:
        response.headers[contract.CUSTOM_ATTRIBUTES] = attributes
    return response
