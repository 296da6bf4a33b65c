"""The Flask app: routes, headers and status codes around a `Service`."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import jax
from flask import Flask, Response, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import BadRequest, HTTPException, NotFound

import o2v_jax
from o2v_jax.errors import O2VError
from o2v_jax.scoring import local_devices
from o2v_jax.server import endpoints, http
from o2v_jax.server.protocol import ScorerLike
from o2v_jax.server.service import Answer, ErrorAnswer, Service, answer_to
from o2v_jax.server.settings import Settings

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from o2v_jax.checkpoint import Model

_ATTRIBUTES, _VARIANT = (  # as WSGI has them
    f"HTTP_{name.upper().replace('-', '_')}"
    for name in (http.CUSTOM_ATTRIBUTES, endpoints.TARGET_VARIANT)
)


class StartError(click.ClickException, O2VError):
    """What the environment names cannot be served; `flask run` shows this as one line."""


def create_app(
    model: "Model | str | Path | None" = None,
    *,
    settings: Settings | None = None,
    scorers: Sequence[ScorerLike] | None = None,
) -> Flask:
    """The SageMaker contract around one model.

    Warm-up runs in the background; requests that arrive meanwhile are answered, only slower.
    `app.extensions["o2v_jax"]` is the `Service`; `close` it to end its thread before the process.

    Args:
        model: a loaded model or the path of one; None: the one that the settings name.
        settings: None: those of the environment.
        scorers: serve these, one for each device, instead of new ones of `model`.

    Raises:
        InputError: a setting cannot be used, or there is no model.
        CheckpointError: the model cannot be loaded.
        StartError: either, where no argument was given, as by `flask --app serving.app run`.
    """
    is_given = any(argument is not None for argument in (model, settings, scorers))
    with nullcontext() if is_given else _start_errors():
        settings = settings or Settings.from_environment(os.environ)
        scorers = scorers or _scorers(model, settings)
    app = Flask(__name__)
    service = app.extensions["o2v_jax"] = Service(scorers, settings)
    _add_routes(app, service)
    _add_errors(app)
    app.after_request(partial(_finish, service))
    app.wsgi_app = partial(_merging_slashes, app.wsgi_app)  # type: ignore[method-assign]
    service.warm()
    return app


@contextmanager
def _start_errors() -> Iterator[None]:
    try:
        yield
    except O2VError as error:
        raise StartError(str(error)) from error


def _scorers(model: "Model | str | Path | None", settings: Settings) -> Sequence[ScorerLike]:
    o2v_jax.use_compilation_cache()
    # One thread gives the device its work and waits: handing that on to yet another thread costs
    # a small request a third of its time.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if model is None or isinstance(model, str | Path):
        model = o2v_jax.load(model or settings.model_path)
    scorer = partial(o2v_jax.Scorer, model, preferred_mode=settings.preferred_mode)
    return [
        scorer(dtype=settings.dtype, device=device) for device in local_devices(settings.devices)
    ]


def _merging_slashes(
    app: "WSGIApplication", environ: "WSGIEnvironment", start_response: "StartResponse"
) -> Iterable[bytes]:
    """Flask would redirect, which not every client follows with its body."""
    environ["PATH_INFO"] = http.merge_slashes(environ.get("PATH_INFO", ""))
    return app(environ, start_response)


def _add_routes(app: Flask, service: Service) -> None:
    @app.get("/ping")
    def ping() -> Response:
        return Response(status=200 if service.ready else 503)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(service.metrics.text(), content_type=CONTENT_TYPE_LATEST)

    @app.get("/execution-parameters")
    def execution_parameters() -> Response:
        return jsonify(service.settings.execution_parameters())

    @app.post("/invocations")
    @app.post("/endpoints/<_name>/invocations")
    def invocations(_name: str = "") -> Response:
        sent = request.environ  # a look-up by a header's own name costs ten times as much
        http.require_plain(sent.get("HTTP_CONTENT_ENCODING"))
        body = service.read(request.stream, request.content_length)
        answer = service.answer(body, sent.get("CONTENT_TYPE"), sent.get("HTTP_ACCEPT"))
        return _response(answer)


def _response(answer: Answer) -> Response:
    response = Response(answer.body, content_type=str(answer.format))
    # A whole body goes out as it is, in one write; Flask would wrap it to be sent piece by piece.
    response.direct_passthrough = isinstance(answer.body, bytes)
    response.call_on_close(answer.close)
    return response


def _add_errors(app: Flask) -> None:
    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        allow = {name: value for name, value in error.get_headers() if name == "Allow"}
        unknown = f"no such path; the paths are {http.PATHS}"
        reason = unknown if error.code == NotFound.code else error.description
        message = f"{request.method} {request.path}: {reason}"
        return _error(error.code or 500, http.error_body(message), allow)

    @app.errorhandler(Exception)
    def wrong(error: Exception) -> Response:
        return _error(*answer_to(error, f"{request.method} {request.path}"))


def _error(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, dict(headers or {}), content_type="application/json")


def _finish(service: Service, response: Response) -> Response:
    attributes = request.environ.get(_ATTRIBUTES)
    if attributes is not None:
        response.headers[http.CUSTOM_ATTRIBUTES] = attributes
    if request.path.endswith("/invocations"):
        service.metrics.answered(response.status_code)
    if request.path.startswith(endpoints.PREFIX):
        _finish_endpoint(response)
    return response


def _finish_endpoint(response: Response) -> None:
    if response.status_code < BadRequest.code:
        response.headers.update(endpoints.success_headers(request.environ.get(_VARIANT)))
        return
    error = endpoints.modelled(ErrorAnswer(response.status_code, response.get_data(), {}))
    response.set_data(error.body)
    response.headers.update(error.headers)
