"""The contract, the same through both shims: routes, methods, headers, formats and errors."""

import json
import uuid

import pytest
from contract_clients import SHIMS, create_client
from length_scorer import LengthScorer

from o2v_jax.server.limits import UPLOADS
from o2v_jax.server.service import LONG_BODY, LONG_RESPONSE
from o2v_jax.server.settings import ServerSettings

PAIR = b'{"instances": [{"in0": [1], "in1": [2, 3]}]}'
JSON = {"content-type": "application/json"}
LINES = b'{"in0": [1], "in1": [2]}\n'
REQUEST_ID = "x-amzn-requestid"
ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
PATHS = (
    "POST /invocations, POST /endpoints/NAME/invocations, POST /search, POST /rerank, GET /ping, "
    "GET /execution-parameters and GET /metrics"
)


@pytest.fixture
def client(client, scorer):
    scorer.may_warm.set()
    client.wait_until_ready()
    return client


@pytest.fixture
def both():
    """A client of each shim."""
    clients = []
    for shim in SHIMS:
        scorer = LengthScorer()
        scorer.may_warm.set()
        clients.append(create_client(shim, scorers=[scorer], settings=ServerSettings()))
    yield clients
    for client in clients:
        client.close()


INVOCATIONS = [
    (PAIR, JSON, 200),
    (PAIR, {}, 200),
    (PAIR, JSON | {"accept": "application/jsonlines"}, 200),
    (PAIR, JSON | {ATTRIBUTES: "trace=7"}, 200),
    (PAIR, JSON | {ATTRIBUTES: "", "accept": "text/html"}, 406),
    (PAIR, {"content-type": "application/json; infer_max_seqlens=1,1"}, 200),
    (PAIR, {"content-type": "application/json; infer_max_seqlens=0,1"}, 400),
    (PAIR, {"content-type": "text/csv"}, 415),
    (PAIR, [*JSON.items(), ("accept", "text/html"), ("accept", "application/jsonlines")], 200),
    (PAIR, [("content-encoding", "gzip"), ("content-encoding", "identity")], 415),
    (PAIR, JSON | {"content-encoding": "gzip"}, 415),
    (b'{"instances": []}', JSON, 200),
    (b'{"instances": [{"in0": [1]}, {"in1": [2, 3]}, {"in0": []}]}', JSON, 200),
    (b'{"instances": [{"in0": [1], "in1": [2]}, {"in1": [2, 3]}]}', JSON, 400),
    (b'{"instances": [{"in0": [-1], "in1": [2]}]}', JSON, 400),
    (b"{", JSON, 400),
    (b"", JSON, 400),
    (LINES * 4000, {"content-type": "application/jsonlines"}, 200),
    (b'{"in0": [1]}\n' * (LONG_RESPONSE // 4), {"content-type": "application/jsonlines"}, 200),
]


@pytest.mark.parametrize(("body", "headers", "status"), INVOCATIONS)
def test_both_shims_answer_alike(both, body, headers, status):
    for path in ("/invocations", "/endpoints/any/invocations", "//endpoints//any/invocations"):
        flask, asgi = (client.post(body, path, headers) for client in both)
        assert (flask.status, flask.body) == (asgi.status, asgi.body)
        assert flask.status == status
        kept, found = dict(flask.headers), dict(asgi.headers)
        is_endpoint = "endpoints" in path
        for each in (kept, found):
            assert (each.pop(REQUEST_ID, None) is not None) == is_endpoint
        assert found == kept
    assert len(LINES * 4000) > LONG_BODY


@pytest.mark.parametrize(
    ("path", "added"),
    [
        ("/invocations", {}),
        ("/endpoints/any/invocations", {"x-amzn-invoked-production-variant": "AllTraffic"}),
    ],
)
def test_a_response_has_these_headers_and_no_others(client, path, added):
    reply = client.post(PAIR, path, JSON | {ATTRIBUTES: "trace=7"})
    assert reply.body == b'{"predictions":[{"scores":[1.02]}]}'
    reply.headers.pop(REQUEST_ID, None)
    length = {"content-length": str(len(reply.body))}
    assert reply.headers == JSON | length | {ATTRIBUTES: "trace=7"} | added


def test_request_ids_differ(both):
    replies = [client.post(PAIR, "/endpoints/a/invocations") for client in [*both, *both]]
    assert len({uuid.UUID(reply.headers[REQUEST_ID]) for reply in replies}) == 4


READ, INVOKE = "GET, HEAD, OPTIONS", "OPTIONS, POST"
OTHERS = [
    ("GET", "/ping", 200, None),
    ("HEAD", "/ping", 200, None),
    ("GET", "//ping", 200, None),
    ("OPTIONS", "/ping", 200, READ),
    ("POST", "/ping", 405, READ),
    ("GET", "/metrics/", 404, None),
    ("GET", "/metrics", 200, None),
    ("HEAD", "/metrics", 200, None),
    ("GET", "//execution-parameters", 200, None),
    ("PUT", "/execution-parameters", 405, READ),
    ("GET", "/invocations", 405, INVOKE),
    ("HEAD", "/invocations", 405, INVOKE),
    ("OPTIONS", "/invocations", 200, INVOKE),
    ("POST", "/invocations/", 404, None),
    ("GET", "/endpoints/a/invocations", 405, INVOKE),
    ("OPTIONS", "/endpoints/a/invocations", 200, INVOKE),
    ("POST", "/endpoints/a/b/invocations", 404, None),
    ("POST", "/endpoints/invocations", 404, None),
    ("POST", "/endpoints/a/invocations-response-stream", 404, None),
    ("POST", "/x", 404, None),
    ("GET", "/x", 404, None),
    ("HEAD", "/x", 404, None),
    ("OPTIONS", "/x", 404, None),
    ("GET", "/", 404, None),
    ("GET", "", 404, None),
    ("TRACE", "/ping", 405, READ),
    ("BREW", "/ping", 405, READ),
]


@pytest.mark.parametrize(("method", "path", "status", "allow"), OTHERS)
def test_other_requests_need_no_body(client, method, path, status, allow):
    for body in (b"", PAIR):
        reply = client.request(method, path, body, {"content-length": str(len(body))})
        assert (reply.status, reply.headers.get("allow")) == (status, allow)
        is_endpoint_error = "endpoints/" in path and status >= 400
        error = "ValidationError" if is_endpoint_error else None
        assert reply.headers.get("x-amzn-errortype") == error
        assert "connection" not in reply.headers  # all of the body was read
        if method == "HEAD":
            assert reply.body == b""
        else:
            assert len(reply.body) == int(reply.headers["content-length"])
        if status == 404 and method != "HEAD":
            merged = path.replace("//", "/") or "/"
            message = f"{method} {merged}: no such path; the paths are {PATHS}"
            assert reply.json == {"error": message, "message": message}


def test_a_head_request_gets_the_length_of_what_get_would_send(client):
    get, head = (client.request(method, "/execution-parameters") for method in ("GET", "HEAD"))
    assert head.headers == get.headers
    assert get.json == {
        "MaxConcurrentTransforms": 2,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 6,
    }


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [(b"{", 400, "ModelError"), (b" " * 6_291_457, 413, "ModelError")],
)
def test_an_error_of_an_endpoint_is_modelled(client, body, status, error):
    reply = client.post(body, "/endpoints/a/invocations", JSON)
    assert (reply.status, reply.headers["x-amzn-errortype"]) == (status, error)
    assert reply.json["OriginalStatusCode"] == status
    assert reply.json["OriginalMessage"] == reply.json["message"] == reply.json["error"]


def test_custom_attributes_come_back_from_every_path(client):
    for method, path in (("GET", "/ping"), ("GET", "/x"), ("PUT", "/ping"), ("GET", "/metrics")):
        reply = client.request(method, path, headers={ATTRIBUTES: "trace=7; a, b"})
        assert reply.headers[ATTRIBUTES] == "trace=7; a, b"


@pytest.mark.parametrize("length", ["6291457", str(len(PAIR) + 1)])
def test_a_body_that_is_not_what_was_announced(client, length):
    reply = client.post(PAIR, headers=JSON | {"content-length": length})
    assert reply.status == (413 if length == "6291457" else 400)
    assert b"announced" in reply.body or b"at most" in reply.body or b"broke off" in reply.body
    assert client.service.uploads.free == UPLOADS


def test_responses_are_counted_by_status(client):
    for body, path in (
        (PAIR, "/invocations"),
        (PAIR, "/endpoints/a/invocations"),
        (b"{", "/invocations"),
    ):
        client.post(body, path)
    client.get("/invocations")
    client.get("/ping")
    metrics = client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    for code, count in (("200", 2), ("400", 1), ("405", 1)):
        assert f'o2v_requests_total{{code="{code}"}} {count}.0\n'.encode() in metrics.body
    assert metrics.body.count(b"o2v_requests_total{") == 3


def test_many_requests_give_their_places_back(client):
    limits = client.service.requests, client.service.records, client.service.uploads
    before = [limit.free for limit in limits]
    for body in (PAIR, b"{", b'{"instances": []}', b'{"instances": [{"in0": [99]}]}'):
        assert json.loads(client.post(body, headers=JSON).body)
    assert [limit.free for limit in limits] == before
