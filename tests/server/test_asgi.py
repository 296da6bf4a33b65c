"""Invocations on the event loop: what Flask would answer, and nothing left behind."""

import asyncio
import json
import threading
import uuid

import jax
import pytest
from length_scorer import LengthScorer
from werkzeug.test import EnvironBuilder, run_wsgi_app

from o2v_jax.server import asgi
from o2v_jax.server.asgi import Front, Waker
from o2v_jax.server.limits import UPLOADS
from o2v_jax.server.service import LONG_ANSWER, LONG_BODY
from o2v_jax.server.settings import Settings
from serving.app import create_app

PAIR = b'{"instances": [{"in0": [1], "in1": [2, 3]}]}'
JSON = {"content-type": "application/json"}
LINES = b'{"in0": [1], "in1": [2]}\n'
REQUEST_ID = "x-amzn-requestid"


@pytest.fixture
def scorer():
    scorer = LengthScorer()
    scorer.may_warm.set()
    yield scorer
    scorer.may_score.set()


@pytest.fixture
def app(scorer):
    app = create_app(scorers=[scorer], settings=Settings())
    yield app
    app.extensions["o2v_jax"].close()


@pytest.fixture
def front(app):
    return Front(app, app.extensions["o2v_jax"])


async def ask(front, body, headers, path="/invocations", method="POST"):
    """Status, headers and body of an answer to a body that comes in two parts."""
    parts, sent = [body[:7], body[7:]], []

    async def receive():
        if not parts:
            await asyncio.Event().wait()  # the client stays
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    pairs = headers.items() if isinstance(headers, dict) else headers
    raw = [(name.encode(), value.encode()) for name, value in pairs]
    about = {"type": "http", "http_version": "1.1", "query_string": b"", "headers": raw}
    await front({**about, "method": method, "path": path}, receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:])


def ask_flask(app, path, method, **arguments):
    sent = {"PATH_INFO": path}  # the client would take what stands between slashes for a host
    return app.test_client().open(method=method, environ_overrides=sent, **arguments)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (PAIR, JSON),
        (PAIR, {}),
        (PAIR, JSON | {"accept": "application/jsonlines"}),
        (PAIR, JSON | {"x-amzn-sagemaker-custom-attributes": "trace=7"}),
        (PAIR, JSON | {"x-amzn-sagemaker-custom-attributes": "", "accept": "text/html"}),
        (PAIR, {"content-type": "application/json; infer_max_seqlens=1,1"}),
        (PAIR, {"content-type": "application/json; infer_max_seqlens=0,1"}),
        (PAIR, {"content-type": "text/csv"}),
        (PAIR, [*JSON.items(), ("accept", "text/html"), ("accept", "application/jsonlines")]),
        (PAIR, [("content-encoding", "gzip"), ("content-encoding", "identity")]),
        (PAIR, JSON | {"content-encoding": "gzip"}),
        (b'{"instances": []}', JSON),
        (b'{"instances": [{"in0": [1]}, {"in1": [2, 3]}, {"in0": []}]}', JSON),
        (b'{"instances": [{"in0": [1], "in1": [2]}, {"in1": [2, 3]}]}', JSON),
        (b'{"instances": [{"in0": [-1], "in1": [2]}]}', JSON),
        (b"{", JSON),
        (LINES * 4000, {"content-type": "application/jsonlines"}),
        (b'{"in0": [1]}\n' * (LONG_ANSWER // 4), {"content-type": "application/jsonlines"}),
    ],
)
def test_it_answers_as_flask_does(app, front, body, headers):
    for path in ("/invocations", "/endpoints/any/invocations", "//endpoints//any/invocations"):
        expected = ask_flask(app, path, "POST", data=body, headers=headers)
        status, found, answer = asyncio.run(ask(front, body, headers, path))
        assert (status, answer) == (expected.status_code, expected.data)
        kept = {name.lower(): value for name, value in expected.headers.items()}
        assert (found.pop(REQUEST_ID, None) is None) == (kept.pop(REQUEST_ID, None) is None)
        assert found == {name: kept[name] for name in found}
        assert set(kept) <= {*found, "content-length"}
    assert len(LINES * 4000) > LONG_BODY


def test_request_ids_differ(app, front):
    def of_flask():
        return app.test_client().post("/endpoints/a/invocations", data=PAIR).headers[REQUEST_ID]

    def of_front():
        return asyncio.run(ask(front, PAIR, JSON, "/endpoints/a/invocations"))[1][REQUEST_ID]

    ids = [of_flask(), of_flask(), of_front(), of_front()]
    assert len(set(map(uuid.UUID, ids))) == 4


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ping"),
        ("HEAD", "/ping"),
        ("GET", "//ping"),
        ("OPTIONS", "/ping"),
        ("POST", "/ping"),
        ("GET", "/metrics/"),
        ("HEAD", "/metrics"),
        ("GET", "//execution-parameters"),
        ("GET", "/invocations"),
        ("HEAD", "/invocations"),
        ("OPTIONS", "/invocations"),
        ("POST", "/invocations/"),
        ("GET", "/endpoints/a/invocations"),
        ("POST", "/endpoints/a/b/invocations"),
        ("POST", "/endpoints/invocations"),
        ("POST", "/endpoints/a/invocations-response-stream"),
        ("POST", "/x"),
        ("GET", "/x"),
        ("GET", "/"),
        ("GET", ""),
    ],
)
def test_so_do_other_requests(app, front, method, path):
    """With or without a body, of which Flask needs nothing."""
    expected = ask_flask(app, path, method)
    for body in (b"", PAIR):
        length = {"content-length": str(len(body))}
        status, found, answer = asyncio.run(ask(front, body, length, path, method))
        assert (status, answer) == (expected.status_code, expected.data)
        assert found.get("allow") == expected.headers.get("Allow")
        assert found.get("x-amzn-errortype") == expected.headers.get("x-amzn-errortype")
        assert "connection" not in found  # all of the body was read


def test_what_is_nowhere_names_what_is_there(app):
    message = app.test_client().post("/score", json={}).json["message"]
    assert message == (
        "POST /score: no such path; the paths are POST /invocations, "
        "POST /endpoints/NAME/invocations, GET /ping, GET /execution-parameters and GET /metrics"
    )
    for rule in app.url_map.iter_rules():
        assert rule.rule.replace("<_name>", "NAME") in message or rule.endpoint == "static"


def test_a_gateway_may_leave_an_empty_path_out(app):
    environ = EnvironBuilder(method="GET").get_environ()
    del environ["PATH_INFO"]
    _, status, _ = run_wsgi_app(app.wsgi_app, environ)
    assert status == "404 NOT FOUND"


def test_what_waits_too_long_is_withdrawn(front, scorer, monkeypatch):
    monkeypatch.setattr(asgi, "PATIENCE_S", 0.2)
    scorer.may_score.clear()

    async def both():
        begun = asyncio.create_task(ask(front, PAIR, JSON))
        await asyncio.sleep(0.1)  # the device has it by now
        status, headers, body = await ask(front, PAIR, JSON)
        assert (status, headers["retry-after"]) == (503, "1")
        assert b"busy" in body
        scorer.may_score.set()
        return (await begun)[0], (await ask(front, PAIR, JSON))[0]

    assert asyncio.run(both()) == (200, 200)


def test_a_failing_device_is_told_of_and_leaves_nobody_waiting(front, scorer):
    scorer.error = jax.errors.JaxRuntimeError("INTERNAL: the device is lost")
    status, _, body = asyncio.run(ask(front, PAIR, JSON))
    assert (status, json.loads(body)["error"]) == (500, "the server failed: its log says why")
    assert asyncio.run(ask(front, b"", {}, "/ping", "GET"))[0] == 503
    scorer.error = None
    assert asyncio.run(ask(front, PAIR, JSON))[0] == 200


def test_a_closed_service_refuses(front, app):
    app.extensions["o2v_jax"].close()
    assert asyncio.run(ask(front, PAIR, JSON))[0] == 503
    status, headers, _ = asyncio.run(ask(front, PAIR, JSON, "/endpoints/a/invocations"))
    assert (status, headers["x-amzn-errortype"]) == (503, "ServiceUnavailable")


def test_a_request_that_is_given_up_gives_its_places_back(front, app, scorer):
    service = app.extensions["o2v_jax"]
    before = service._requests.free, service._records.free, service._uploads.free
    scorer.may_score.clear()

    async def give_up():
        tasks = [asyncio.create_task(ask(front, PAIR, JSON)) for _ in range(5)]
        await asyncio.sleep(0.1)
        assert service._requests.free == before[0] - 5
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(give_up())
    assert (service._requests.free, service._records.free, service._uploads.free) == before
    scorer.may_score.set()
    assert asyncio.run(ask(front, PAIR, JSON))[0] == 200


@pytest.mark.parametrize("length", ["6291457", str(len(PAIR) + 1)])
def test_a_body_that_is_not_what_was_announced(front, app, length):
    status, _, body = asyncio.run(ask(front, PAIR, JSON | {"content-length": length}))
    assert status == (413 if length == "6291457" else 400)
    assert b"announced" in body or b"at most" in body
    assert app.extensions["o2v_jax"]._uploads.free == UPLOADS


def test_many_requests_at_a_time(front):
    bodies = [b'{"instances": [{"in0": %s, "in1": []}]}' % str([1] * n).encode() for n in range(8)]

    async def everything():
        return await asyncio.gather(*[ask(front, bodies[k % 8], JSON) for k in range(120)])

    for k, (status, _, body) in enumerate(asyncio.run(everything())):
        assert (status, json.loads(body)["predictions"][0]["scores"][0]) == (200, k % 8)


def test_events_that_threads_set_are_all_seen():
    waker = Waker()

    async def wait_for_all():
        events = [waker.event() for _ in range(2000)]
        threads = [
            threading.Thread(target=lambda part=part: list(map(waker.set, events[part::4])))
            for part in range(4)
        ]
        for thread in threads:
            thread.start()
        async with asyncio.timeout(20):
            for event in events:
                await event.wait()

    asyncio.run(wait_for_all())
    waker.set(asyncio.Event())  # after the loop's end: nobody waits, nothing breaks


def test_a_long_answer_ends_when_its_client_leaves(front, app):
    body = b'{"in0": [1]}\n' * (LONG_ANSWER // 2)
    free, sent = app.extensions["o2v_jax"]._numbers.free, []

    async def leave():
        gone, parts = asyncio.Event(), [body]

        async def receive():
            if not parts:
                await gone.wait()
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": parts.pop(), "more_body": False}

        async def send(message):
            sent.append(message)
            if len(sent) == 2:  # the first piece
                gone.set()
                await asyncio.sleep(0.05)

        headers = [(b"content-type", b"application/jsonlines")]
        await front({"method": "POST", "path": "/invocations", "headers": headers}, receive, send)

    asyncio.run(leave())
    assert [message.get("more_body") for message in sent] == [None, True]
    assert app.extensions["o2v_jax"]._numbers.free == free


def test_a_body_that_stops_is_refused_and_its_place_given_back(app):
    front, sent = Front(app, app.extensions["o2v_jax"], stall_s=0.2), []
    parts = [{"type": "http.request", "body": b"", "more_body": True}] * 2

    async def receive():
        await asyncio.sleep(0.15)  # each comes in time, and both together would not
        return parts.pop() if parts else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    asyncio.run(front({"method": "POST", "path": "/invocations", "headers": []}, receive, send))
    assert (sent[0]["status"], parts) == (408, [])
    assert (b"connection", b"close") in sent[0]["headers"]
    assert b"nothing of the body came for 0.2 s" in sent[1]["body"]
    assert app.extensions["o2v_jax"]._uploads.free == UPLOADS


def test_a_body_that_breaks_off_is_not_taken_for_a_whole_one(front):
    sent, parts = [], [{"type": "http.request", "body": LINES, "more_body": True}]

    async def receive():
        return parts.pop() if parts else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(front({"method": "POST", "path": "/invocations", "headers": []}, receive, send))
    assert sent[0]["status"] == 400
    assert b"broke off" in sent[1]["body"]
