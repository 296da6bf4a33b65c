"""Health and capacity, with scorers that tests can hold up and break."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack

import jax
import numpy as np
import pytest
from length_scorer import LengthScorer

import o2v_jax
from o2v_jax import Hyperparameters
from o2v_jax.errors import CheckpointError, O2VError
from o2v_jax.scoring import layout
from o2v_jax.server.health import State
from o2v_jax.server.limits import RECORDS, REQUESTS, STREAMS
from o2v_jax.server.service import LONG_ANSWER, MAX_NUMBERS, Service
from o2v_jax.server.settings import Settings
from serving.app import StartError, create_app

PAIR = {"instances": [{"in0": [1], "in1": [2]}]}


@pytest.fixture
def scorer():
    scorer = LengthScorer()
    yield scorer
    scorer.may_warm.set()
    scorer.may_warm_all.set()
    scorer.may_score.set()


@pytest.fixture
def app(scorer):
    app = create_app(scorers=[scorer], settings=Settings(max_concurrent=2))
    yield app
    app.extensions["o2v_jax"].close()


@pytest.fixture
def client(app):
    return app.test_client()


def warm_up(scorer):
    scorer.may_warm.set()
    wait_for_warm_up()


def wait_for_warm_up():
    for thread in threading.enumerate():
        if thread.name == "warm-up":
            thread.join(60)


def test_ping_is_503_until_warm_but_requests_are_answered(client, scorer):
    assert client.get("/ping").status_code == 503
    assert client.post("/invocations", json=PAIR).status_code == 200
    assert client.get("/ping").status_code == 503
    warm_up(scorer)
    assert client.get("/ping").status_code == 200


def test_ready_comes_before_all_is_warm(client, scorer):
    scorer.may_warm_all.clear()
    scorer.may_warm.set()
    end = time.monotonic() + 10
    while client.get("/ping").status_code != 200:
        assert time.monotonic() < end
    scorer.may_warm_all.set()
    wait_for_warm_up()
    assert client.get("/ping").status_code == 200


def test_a_failed_warm_up_is_unhealthy(client, scorer):
    scorer.error = RuntimeError("no memory")
    warm_up(scorer)
    assert client.get("/ping").status_code == 503


@pytest.mark.parametrize("when", ["first", "rest"])
def test_a_failed_warm_up_never_becomes_ready_by_itself(client, scorer, when):
    """A small request that succeeds says nothing of the programs that could not be compiled."""
    if when == "rest":
        scorer.may_warm_all.clear()
        scorer.may_warm.set()
        deadline = time.monotonic() + 10
        while client.get("/ping").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.01)
        scorer.error = RuntimeError("no memory")
        scorer.may_warm_all.set()
        wait_for_warm_up()
    else:
        scorer.error = RuntimeError("no memory")
        warm_up(scorer)
    scorer.error = None
    assert client.post("/invocations", json=PAIR).status_code == 200
    assert client.get("/ping").status_code == 503


def test_a_failing_device_is_unhealthy_until_it_answers_again(client, scorer):
    warm_up(scorer)
    scorer.error = jax.errors.JaxRuntimeError("INTERNAL: the device is lost")
    reply = client.post("/invocations", json=PAIR)
    assert reply.status_code == 500
    assert reply.json["error"] == "the server failed: its log says why"
    assert client.get("/ping").status_code == 503
    scorer.error = None
    assert client.post("/invocations", json={"instances": []}).status_code == 200
    assert client.get("/ping").status_code == 503
    assert client.post("/invocations", json=PAIR).status_code == 200
    assert client.get("/ping").status_code == 200


def test_one_failing_device_of_two_is_unhealthy():
    scorers = [LengthScorer(), LengthScorer()]
    health = Service(scorers, Settings()).health
    health.warm(lambda: None, lambda: None).join()
    with pytest.raises(jax.errors.JaxRuntimeError), health.watching(1):
        raise jax.errors.JaxRuntimeError("INTERNAL: the device is lost")
    with health.watching(0):
        assert health.state is State.FAILED
    assert health.state is State.FAILED
    with health.watching(1):
        pass
    assert health.state is State.READY


def test_other_failures_do_not_tell_of_themselves_or_of_the_device(client, scorer):
    warm_up(scorer)
    scorer.error = KeyError("secret")
    reply = client.post("/invocations", json=PAIR)
    assert (reply.status_code, b"secret" in reply.data) == (500, False)
    assert client.get("/ping").status_code == 200


def test_answers_come_in_record_order(client):
    records = [{"in0": [1] * (i % 7), "in1": [2] * (i % 5)} for i in range(100)]
    predictions = client.post("/invocations", json={"instances": records}).json["predictions"]
    expected = [[i % 7 + (i % 5) / 100] for i in range(100)]
    np.testing.assert_allclose([p["scores"] for p in predictions], expected, rtol=1e-6)


def post_pair(app):
    return app.test_client().post("/invocations", json=PAIR)


def test_over_capacity_is_refused_at_once_with_retry_after(app, scorer):
    scorer.may_score.clear()
    with ThreadPoolExecutor(REQUESTS + 1) as pool:
        replies = [pool.submit(post_pair, app) for _ in range(REQUESTS + 1)]
        refused = next(as_completed(replies, timeout=10)).result()
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert "busy" in refused.json["error"]
        scorer.may_score.set()
        statuses = sorted(reply.result(10).status_code for reply in replies)
        assert statuses == [200] * REQUESTS + [503]


def test_a_refusal_is_an_answer_like_others(app, client, scorer):
    scorer.may_score.clear()
    sent = {"X-Amzn-SageMaker-Custom-Attributes": "trace=1"}
    with ThreadPoolExecutor(REQUESTS) as pool:
        replies = [pool.submit(post_pair, app)]
        wait_for_requests(app, 0)  # the device has it, and would take all others that come with it
        replies += [pool.submit(post_pair, app) for _ in range(REQUESTS - 1)]
        wait_for_requests(app, REQUESTS - 1)
        assert client.get("/ping").status_code == 503  # warming up: not refused
        for path in ("/invocations", "/endpoints/a/invocations"):
            reply = client.post(path, json=PAIR, headers=sent)
            assert reply.status_code == 503
            assert reply.headers["X-Amzn-SageMaker-Custom-Attributes"] == "trace=1"
            assert reply.json["error"] == reply.json["message"]
        assert b'o2v_requests_total{code="503"} 2.0' in client.get("/metrics").data
        scorer.may_score.set()
        assert [reply.result(10).status_code for reply in replies] == [200] * REQUESTS


def test_as_many_requests_of_any_size_are_taken_as_are_announced(app, scorer):
    scorer.may_score.clear()
    large = json.dumps({"instances": [{"in0": []}] * (RECORDS // 2 + 1)})
    with ThreadPoolExecutor(3) as pool:
        replies = [pool.submit(app.test_client().post, "/invocations", data=large)]
        wait_for_requests(app, 0)  # the first is on the device
        replies.append(pool.submit(app.test_client().post, "/invocations", data=large))
        wait_for_requests(app, 2)  # what is left of it, and the second
        assert app.test_client().post("/invocations", data=large).status_code == 503
        assert post_pair(app).status_code == 503
        scorer.may_score.set()
        assert [reply.result(60).status_code for reply in replies] == [200, 200]
    assert post_pair(app).status_code == 200


def wait_for_requests(app, count):
    """Until the device is busy and so many requests wait for it."""
    service, end = app.extensions["o2v_jax"], time.monotonic() + 60
    while not service.scorers[0].calls or service.batcher.waiting.requests < count:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_waits_is_scored_together(app, scorer):
    scorer.may_score.clear()
    with ThreadPoolExecutor(20) as pool:
        replies = [pool.submit(post_pair, app)]
        wait_for_requests(app, 0)
        replies += [pool.submit(post_pair, app) for _ in range(19)]
        wait_for_requests(app, 19)
        scorer.may_score.set()
        assert [reply.result(10).status_code for reply in replies] == [200] * 20
    assert scorer.calls == [[1], [1] * 19]


def test_a_call_that_fails_resolves_all_requests(app, client, scorer):
    warm_up(scorer)
    scorer.error = jax.errors.JaxRuntimeError("INTERNAL: the device is lost")
    scorer.fails_at = {2}
    scorer.may_score.clear()
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(post_pair, app)
        wait_for_requests(app, 0)
        others = [pool.submit(post_pair, app) for _ in range(19)]
        wait_for_requests(app, 19)
        scorer.may_score.set()
        assert first.result(10).status_code == 200
        assert [reply.result(10).status_code for reply in others] == [500] * 19
    assert client.get("/ping").status_code == 503
    assert post_pair(app).status_code == 200
    assert client.get("/ping").status_code == 200


def test_without_its_thread_the_app_is_unhealthy_and_busy(app, client, scorer):
    warm_up(scorer)
    assert client.get("/ping").status_code == 200
    app.extensions["o2v_jax"].close()
    assert client.get("/ping").status_code == 503
    reply = post_pair(app)
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")


def test_a_batch_that_fails_is_told_once(app, scorer, caplog):
    scorer.error = KeyError("secret")
    assert post_pair(app).status_code == 500
    assert [record.exc_info is not None for record in caplog.records] == [True, False]


def test_a_model_may_be_given(tiny_model, cache, monkeypatch):
    monkeypatch.setenv("O2V_CACHE_DIR", cache)
    client = create_app(o2v_jax.load(tiny_model), settings=Settings(devices=1)).test_client()
    assert len(client.post("/invocations", json=PAIR).json["predictions"][0]["scores"]) == 3
    wait_for_warm_up()
    assert client.get("/ping").status_code == 200


class WideScorer(LengthScorer):
    """Embeds anything as 4096 zeros."""

    config = Hyperparameters(
        enc0_max_seq_len=8,
        enc0_network="pooled_embedding",
        enc0_vocab_size=40,
        enc_dim=4096,
        num_classes=30,
    )

    layout = layout(config)
    fill = 0

    def score(self, in0, _in1, **_):
        return np.zeros((len(in0), 30), np.float32)

    def embed(self, in0=None, in1=None, **_):
        self.embeddings = np.full((len(in0 or in1), 4096), self.fill, np.float32)
        return self.embeddings


@pytest.fixture
def wide():
    app = create_app(scorers=[WideScorer()], settings=Settings(max_payload_mb=20, max_concurrent=1))
    yield app
    app.extensions["o2v_jax"].close()


def singles(count):
    return "\n".join(['{"in1":[]}'] * count)


def test_an_answer_that_would_take_all_memory_is_refused(wide):
    reply = wide.test_client().post("/invocations", data=singles(MAX_NUMBERS // 4096 + 1))
    assert reply.status_code == 413
    assert reply.json["error"] == (
        "the answer would hold 67112960 numbers, but at most 67108864 can be sent: "
        "send fewer records at a time"
    )


def test_the_largest_answer_is_sent_in_pieces(wide):
    reply = wide.test_client().post("/invocations", data=singles(MAX_NUMBERS // 4096))
    assert reply.status_code == 200
    pieces = [(len(piece), piece.count(b"0.0")) for piece in reply.iter_encoded()]
    assert sum(numbers for _, numbers in pieces) == MAX_NUMBERS
    assert max(length for length, _ in pieces) < 2**20


def test_only_long_answers_come_in_pieces(wide):
    service, pair = wide.extensions["o2v_jax"], '{"in0":[],"in1":[]}'
    whole, long = LONG_ANSWER // 30, LONG_ANSWER // 30 + 1
    one = service.answer("\n".join([pair] * whole).encode(), None, None)
    many = service.answer("\n".join([pair] * long).encode(), None, None)
    assert (one.body.count(b"\n") + 1, b"".join(many.body).count(b"\n") + 1) == (whole, long)


@pytest.mark.parametrize("read", [False, True])
def test_a_client_that_leaves_a_long_answer_gives_its_place_back(wide, read):
    numbers = wide.extensions["o2v_jax"]._numbers
    assert numbers.free == MAX_NUMBERS
    reply = wide.test_client().post("/invocations", data=singles(2000), buffered=False)
    assert numbers.free == MAX_NUMBERS - 2000 * 4096
    if read:
        next(reply.iter_encoded())
    reply.close()
    assert numbers.free == MAX_NUMBERS


def test_no_more_long_answers_are_on_their_way_than_there_are_places(wide):
    client, stack = wide.test_client(), ExitStack()
    with stack:
        for _ in range(STREAMS):
            reply = client.post("/invocations", data=singles(17), buffered=False)
            assert reply.status_code == 200
            stack.callback(reply.close)
        assert client.post("/invocations", data=singles(17)).status_code == 503
        assert client.post("/invocations", data=singles(16)).status_code == 200
    assert client.post("/invocations", data=singles(17)).status_code == 200


def test_a_number_that_json_has_not_is_an_error_before_anything_is_sent(wide):
    scorer = wide.extensions["o2v_jax"].scorers[0]
    scorer.fill = np.nan
    for count in (1, 17):
        reply = wide.test_client().post("/invocations", data=singles(count))
        assert (reply.status_code, reply.mimetype) == (500, "application/json")
    scorer.fill = 0
    assert wide.test_client().post("/invocations", data=singles(17)).status_code == 200


@pytest.mark.parametrize("side", ["in0", "in1"])
def test_embeddings_of_one_side_are_not_copied(side):
    scorer = WideScorer()
    service = Service([scorer], Settings())
    with service.begun(b'{"%s": []}' % side.encode(), "application/jsonlines", None) as begun:
        _, values = service._results(begun)
    assert np.shares_memory(values, scorer.embeddings)
    service.close()


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
        create_app("/nowhere", settings=Settings())
