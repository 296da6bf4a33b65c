"""The application on an event loop: clients that leave or stall, and nothing left behind."""

import asyncio
import json
import time

import pytest

from o2v_jax.server.asgi import Application
from o2v_jax.server.batcher import Waiting
from o2v_jax.server.limits import UPLOADS
from o2v_jax.server.loading import create_service
from o2v_jax.server.service import LONG_BODY, LONG_RESPONSE, Service
from o2v_jax.server.settings import ServerSettings

PAIR = b'{"instances": [{"in0": [1], "in1": [2, 3]}]}'
JSON = {"content-type": "application/json"}
LINES = b'{"in0": [1], "in1": [2]}\n'


@pytest.fixture
def service(scorer):
    scorer.may_warm.set()
    service = create_service(scorers=[scorer], settings=ServerSettings())
    yield service
    service.close()


@pytest.fixture
def application(service):
    return Application(service)


async def ask(application, body, headers, path="/invocations", method="POST"):
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
    await application({**about, "method": method, "path": path}, receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:])


def test_what_waits_too_long_is_withdrawn(scorer):
    service = Service([scorer], ServerSettings(), timeout_s=0.2)
    application = Application(service)
    scorer.may_score.clear()

    async def both():
        begun = asyncio.create_task(ask(application, PAIR, JSON))
        await asyncio.sleep(0.1)  # the device has it by now
        status, headers, body = await ask(application, PAIR, JSON)
        assert (status, headers["retry-after"]) == (503, "1")
        assert b"the server was busy for 0.2 s" in body
        scorer.may_score.set()
        return (await begun)[0], (await ask(application, PAIR, JSON))[0]

    assert asyncio.run(both()) == (200, 200)
    assert scorer.calls == [[1], [1]]
    service.close()


def test_a_request_that_is_given_up_gives_its_places_back(application, service, scorer):
    before = service.requests.free, service.records.free, service.uploads.free
    scorer.may_score.clear()

    async def give_up():
        tasks = [asyncio.create_task(ask(application, PAIR, JSON)) for _ in range(5)]
        await asyncio.sleep(0.1)
        assert service.requests.free == before[0] - 5
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(give_up())
    assert (service.requests.free, service.records.free, service.uploads.free) == before
    scorer.may_score.set()
    assert asyncio.run(ask(application, PAIR, JSON))[0] == 200


async def leave_when(left, application, body):
    """The status that a client would get that sends a body and leaves before it has an answer."""
    parts, sent = [body], []

    async def receive():
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    headers = [(b"content-type", b"application/jsonlines")]
    scope = {"method": "POST", "path": "/invocations", "headers": headers}
    await application(scope, receive, send)
    return sent[0]["status"]


def wait_for(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def count(service, code):
    return service.metrics.render().count(b'o2v_requests_total{code="%d"} 1.0' % code)


def test_a_client_that_leaves_while_it_waits_is_not_scored(application, service, scorer):
    free = service.requests.free, service.records.free
    scorer.may_score.clear()

    async def leave():
        first = asyncio.create_task(ask(application, PAIR, JSON))
        await asyncio.to_thread(scorer.started.acquire)
        left = asyncio.Event()
        waiting = asyncio.create_task(leave_when(left, application, LINES * 3))
        await asyncio.to_thread(wait_for, lambda: service.batcher.waiting == Waiting(1, 3))
        left.set()
        assert await asyncio.wait_for(waiting, 10) == 499
        assert service.batcher.waiting == Waiting(0, 0)
        scorer.may_score.set()
        return (await first)[0]

    assert asyncio.run(leave()) == 200
    assert asyncio.run(ask(application, PAIR, JSON))[0] == 200
    assert scorer.calls == [[1], [1]]
    assert count(service, 499) == 1
    assert (service.requests.free, service.records.free) == free


def test_of_a_long_request_whose_client_leaves_the_rest_is_not_scored(application, service, scorer):
    scorer.may_score.clear()
    body = LINES * 100_000  # several batches
    assert len(body) > LONG_BODY

    async def leave():
        left = asyncio.Event()
        waiting = asyncio.create_task(leave_when(left, application, body))
        await asyncio.to_thread(scorer.started.acquire)
        assert service.batcher.waiting.requests == 1
        left.set()
        status = await asyncio.wait_for(waiting, 10)
        scorer.may_score.set()
        return status

    assert asyncio.run(leave()) == 499
    assert asyncio.run(ask(application, PAIR, JSON))[0] == 200
    assert sum(map(len, scorer.calls)) < 100_000
    assert service.batcher.waiting == Waiting(0, 0)


def test_a_client_that_stays_is_answered_however_long_it_takes(application, scorer):
    scorer.may_score.clear()

    async def stay():
        asking = asyncio.create_task(ask(application, PAIR, JSON))
        await asyncio.sleep(0.3)
        assert not asking.done()
        scorer.may_score.set()
        return (await asking)[0]

    assert asyncio.run(stay()) == 200


def test_many_requests_at_a_time(application):
    bodies = [b'{"instances": [{"in0": %s, "in1": []}]}' % str([1] * n).encode() for n in range(8)]

    async def everything():
        return await asyncio.gather(*[ask(application, bodies[k % 8], JSON) for k in range(120)])

    for k, (status, _, body) in enumerate(asyncio.run(everything())):
        assert (status, json.loads(body)["predictions"][0]["scores"][0]) == (200, k % 8)


def test_a_long_answer_ends_when_its_client_leaves(application, service):
    body = b'{"in0": [1]}\n' * (LONG_RESPONSE // 2)
    free, sent = service.response_floats.free, []

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
        await application(
            {"method": "POST", "path": "/invocations", "headers": headers}, receive, send
        )

    asyncio.run(leave())
    assert [message.get("more_body") for message in sent] == [None, True]
    assert service.response_floats.free == free


def test_a_body_that_stops_is_refused_and_its_place_given_back(service):
    application, sent = Application(service, stall_s=0.2), []
    parts = [{"type": "http.request", "body": b"", "more_body": True}] * 2

    async def receive():
        await asyncio.sleep(0.15)  # each comes in time, and both together would not
        return parts.pop() if parts else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    asyncio.run(
        application({"method": "POST", "path": "/invocations", "headers": []}, receive, send)
    )
    assert (sent[0]["status"], parts) == (408, [])
    assert (b"connection", b"close") in sent[0]["headers"]
    assert b"no part of the body arrived for 0.2 s" in sent[1]["body"]
    assert service.uploads.free == UPLOADS


def test_a_body_that_breaks_off_is_not_taken_for_a_whole_one(application):
    sent, parts = [], [{"type": "http.request", "body": LINES, "more_body": True}]

    async def receive():
        return parts.pop() if parts else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(
        application({"method": "POST", "path": "/invocations", "headers": []}, receive, send)
    )
    assert sent[0]["status"] == 400
    assert b"broke off" in sent[1]["body"]
