"""Health and capacity through both shims, with scorers that tests can hold up and break."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import jax
import numpy as np
import pytest
from length_scorer import LengthScorer

import o2v_jax
from o2v_jax.server.health import Readiness
from o2v_jax.server.limits import RECORDS, REQUESTS
from o2v_jax.server.service import Service
from o2v_jax.server.settings import ServerSettings

PAIR = {"instances": [{"in0": [1], "in1": [2]}]}


def warm_up(scorer):
    scorer.may_warm.set()
    wait_for_warm_up()


def wait_for_warm_up():
    for thread in threading.enumerate():
        if thread.name == "warm-up":
            thread.join(60)


def test_ping_is_503_until_warm_but_requests_are_answered(client, scorer):
    assert client.get("/ping").status == 503
    assert client.post(PAIR).status == 200
    assert client.get("/ping").status == 503
    warm_up(scorer)
    assert client.get("/ping").status == 200


def test_ready_comes_before_all_is_warm(client, scorer):
    scorer.may_warm_all.clear()
    scorer.may_warm.set()
    end = time.monotonic() + 10
    while client.get("/ping").status != 200:
        assert time.monotonic() < end
    scorer.may_warm_all.set()
    wait_for_warm_up()
    assert client.get("/ping").status == 200


def test_a_failed_warm_up_is_unhealthy(client, scorer):
    scorer.error = RuntimeError("no memory")
    warm_up(scorer)
    assert client.get("/ping").status == 503


@pytest.mark.parametrize("when", ["first", "rest"])
def test_a_failed_warm_up_never_becomes_ready_by_itself(client, scorer, when):
    """A small request that succeeds says nothing of the programs that could not be compiled."""
    if when == "rest":
        scorer.may_warm_all.clear()
        scorer.may_warm.set()
        deadline = time.monotonic() + 10
        while client.get("/ping").status != 200 and time.monotonic() < deadline:
            time.sleep(0.01)
        scorer.error = RuntimeError("no memory")
        scorer.may_warm_all.set()
        wait_for_warm_up()
    else:
        scorer.error = RuntimeError("no memory")
        warm_up(scorer)
    scorer.error = None
    assert client.post(PAIR).status == 200
    assert client.get("/ping").status == 503


def test_a_failing_device_is_unhealthy_until_it_answers_again(client, scorer):
    warm_up(scorer)
    scorer.error = jax.errors.JaxRuntimeError("INTERNAL: the device is lost")
    reply = client.post(PAIR)
    assert reply.status == 500
    assert reply.json["error"] == "the server failed: its log says why"
    assert client.get("/ping").status == 503
    scorer.error = None
    assert client.post({"instances": []}).status == 200
    assert client.get("/ping").status == 503
    assert client.post(PAIR).status == 200
    assert client.get("/ping").status == 200


def test_one_failing_device_of_two_is_unhealthy():
    scorers = [LengthScorer(), LengthScorer()]
    for scorer in scorers:
        scorer.may_warm.set()
    health = Service(scorers, ServerSettings()).health
    health.warm(lambda: None, lambda: None).join()
    with pytest.raises(jax.errors.JaxRuntimeError), health.watch_device(1):
        raise jax.errors.JaxRuntimeError("INTERNAL: the device is lost")
    with health.watch_device(0):
        assert health.readiness is Readiness.FAILED
    assert health.readiness is Readiness.FAILED
    with health.watch_device(1):
        pass
    assert health.readiness is Readiness.READY


def test_other_failures_do_not_tell_of_themselves_or_of_the_device(client, scorer):
    warm_up(scorer)
    scorer.error = KeyError("secret")
    reply = client.post(PAIR)
    assert (reply.status, b"secret" in reply.body) == (500, False)
    assert client.get("/ping").status == 200


def test_answers_come_in_record_order(client):
    records = [{"in0": [1] * (i % 7), "in1": [2] * (i % 5)} for i in range(100)]
    predictions = client.post({"instances": records}).json["predictions"]
    expected = [[i % 7 + (i % 5) / 100] for i in range(100)]
    np.testing.assert_allclose([p["scores"] for p in predictions], expected, rtol=1e-6)


def post_pair(client):
    return client.post(PAIR)


def test_over_capacity_is_refused_at_once_with_retry_after(client, scorer):
    scorer.may_score.clear()
    with ThreadPoolExecutor(REQUESTS + 1) as pool:
        replies = [pool.submit(post_pair, client) for _ in range(REQUESTS + 1)]
        refused = next(as_completed(replies, timeout=10)).result()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert "busy" in refused.json["error"]
        scorer.may_score.set()
        statuses = sorted(reply.result(10).status for reply in replies)
        assert statuses == [200] * REQUESTS + [503]


def test_a_refusal_is_an_answer_like_others(client, scorer):
    scorer.may_score.clear()
    sent = {"x-amzn-sagemaker-custom-attributes": "trace=1"}
    with ThreadPoolExecutor(REQUESTS) as pool:
        replies = [pool.submit(post_pair, client)]
        wait_for_requests(
            client, 0
        )  # the device has it, and would take all others that come with it
        replies += [pool.submit(post_pair, client) for _ in range(REQUESTS - 1)]
        wait_for_requests(client, REQUESTS - 1)
        assert client.get("/ping").status == 503  # warming up: not refused
        for path in ("/invocations", "/endpoints/a/invocations"):
            reply = client.post(PAIR, path, sent)
            assert reply.status == 503
            assert reply.headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"
            assert reply.json["error"] == reply.json["message"]
        assert b'o2v_requests_total{code="503"} 2.0' in client.get("/metrics").body
        scorer.may_score.set()
        assert [reply.result(10).status for reply in replies] == [200] * REQUESTS


@pytest.mark.slow
def test_as_many_requests_of_any_size_are_taken_as_are_announced(client, scorer):
    scorer.may_score.clear()
    large = json.dumps({"instances": [{"in0": []}] * (RECORDS // 2 + 1)}).encode()
    with ThreadPoolExecutor(3) as pool:
        replies = [pool.submit(client.post, large)]
        wait_for_requests(client, 0)  # the first is on the device
        replies.append(pool.submit(client.post, large))
        wait_for_requests(client, 2)  # what is left of it, and the second
        assert client.post(large).status == 503
        assert post_pair(client).status == 503
        scorer.may_score.set()
        assert [reply.result(60).status for reply in replies] == [200, 200]
    assert post_pair(client).status == 200


def wait_for_requests(client, count):
    """Until the device is busy and so many requests wait for it."""
    service, end = client.service, time.monotonic() + 60
    while not service.scorers[0].calls or service.batcher.waiting.requests < count:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_waits_is_scored_together(client, scorer):
    scorer.may_score.clear()
    with ThreadPoolExecutor(20) as pool:
        replies = [pool.submit(post_pair, client)]
        wait_for_requests(client, 0)
        replies += [pool.submit(post_pair, client) for _ in range(19)]
        wait_for_requests(client, 19)
        scorer.may_score.set()
        assert [reply.result(10).status for reply in replies] == [200] * 20
    assert scorer.calls == [[1], [1] * 19]


def test_a_call_that_fails_resolves_all_requests(client, scorer):
    warm_up(scorer)
    scorer.error = jax.errors.JaxRuntimeError("INTERNAL: the device is lost")
    scorer.fails_at = {2}
    scorer.may_score.clear()
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(post_pair, client)
        wait_for_requests(client, 0)
        others = [pool.submit(post_pair, client) for _ in range(19)]
        wait_for_requests(client, 19)
        scorer.may_score.set()
        assert first.result(10).status == 200
        assert [reply.result(10).status for reply in others] == [500] * 19
    assert client.get("/ping").status == 503
    assert post_pair(client).status == 200
    assert client.get("/ping").status == 200


def test_without_its_thread_the_app_is_unhealthy_and_busy(client, scorer):
    warm_up(scorer)
    assert client.get("/ping").status == 200
    client.service.close()
    assert client.get("/ping").status == 503
    reply = post_pair(client)
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    reply = client.post(PAIR, "/endpoints/a/invocations")
    assert (reply.status, reply.headers["x-amzn-errortype"]) == (503, "ServiceUnavailable")


def test_a_batch_that_fails_is_told_once(client, scorer, caplog):
    scorer.error = KeyError("secret")
    assert post_pair(client).status == 500
    assert [record.exc_info is not None for record in caplog.records] == [True, False]


@pytest.mark.slow
def test_a_model_may_be_given(connect, short_model, cache, monkeypatch):
    monkeypatch.setenv("O2V_CACHE_DIR", cache)
    client = connect(o2v_jax.load(short_model), settings=ServerSettings(devices=1))
    assert len(client.post(PAIR).json["predictions"][0]["scores"]) == 3
    wait_for_warm_up()
    assert client.get("/ping").status == 200
