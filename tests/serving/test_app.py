"""What the Flask app has of its own: how it starts, its rules, and what WSGI servers give it."""

import pytest
from length_scorer import LengthScorer
from werkzeug.exceptions import ClientDisconnected
from werkzeug.test import EnvironBuilder, run_wsgi_app

from o2v_jax.errors import CheckpointError, O2VError
from o2v_jax.server.settings import ServerSettings
from serving.app import StartError, create_app


@pytest.fixture
def app():
    scorer = LengthScorer()
    scorer.may_warm.set()
    app = create_app(scorers=[scorer], settings=ServerSettings())
    yield app
    app.extensions["o2v_jax"].close()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("O2V_MODEL", "/nowhere", "/nowhere: does not"), ("SAGEMAKER_BIND_TO_PORT", "x", "=x must")],
)
def test_an_app_of_the_environment_tells_flask_and_libraries_why_not(
    monkeypatch, name, value, message
):
    monkeypatch.setenv(name, value)
    with pytest.raises(StartError, match=message) as caught:
        create_app()
    assert isinstance(caught.value, O2VError)
    with pytest.raises(CheckpointError, match="/nowhere: does not"):
        create_app("/nowhere", settings=ServerSettings())


def test_what_is_nowhere_names_what_is_there(app):
    message = app.test_client().post("/score", json={}).json["message"]
    assert message == (
        "POST /score: no such path; the paths are POST /invocations, "
        "POST /endpoints/NAME/invocations, POST /search, POST /rerank, GET /ping, "
        "GET /execution-parameters and GET /metrics"
    )
    for rule in app.url_map.iter_rules():
        assert rule.rule.replace("<name>", "NAME") in message


def test_a_gateway_may_leave_an_empty_path_out(app):
    environ = EnvironBuilder(method="GET").get_environ()
    del environ["PATH_INFO"]
    _, status, _ = run_wsgi_app(app.wsgi_app, environ)
    assert status == "404 NOT FOUND"


def test_an_app_may_have_more_routes(app):
    app.add_url_rule("/more", "more", lambda: "more")
    assert app.test_client().get("/more").text == "more"
    assert app.test_client().get("/ping").status_code == 200


class BrokenStream:
    """The body of a client that hangs up, or whose chunks are malformed."""

    def __init__(self, error):
        self.error = error

    def read(self, *_):
        raise self.error

    readline = readlines = __iter__ = read


@pytest.mark.parametrize("error", [ClientDisconnected(), OSError("Invalid chunk header")])
def test_a_body_that_breaks_off_is_the_clients_fault(app, error):
    stream = {"wsgi.input": BrokenStream(error), "wsgi.input_terminated": True}
    reply = app.test_client().post("/invocations", environ_overrides=stream)
    assert reply.status_code == 400
    assert reply.json["error"] == "the body broke off before its end"
