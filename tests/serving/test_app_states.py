"""Health and capacity, with scorers that tests can hold up and break."""

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

import jax
import numpy as np
import pytest

import o2v_jax
from o2v_jax import Hyperparameters
from o2v_jax.errors import CheckpointError, O2VError
from o2v_jax.records import Format, decode
from serving.app import StartError, create_app
from serving.capacity import WAITING_PLACES
from serving.health import Health
from serving.service import Service
from serving.settings import Settings

PAIR = {"instances": [{"in0": [1], "in1": [2]}]}


class LengthScorer:
    """Scores a pair by its lengths, when it is let, so that a test sees order and overlap."""

    config = Hyperparameters(enc0_max_seq_len=8, enc0_vocab_size=40, enc_dim=16)

    def __init__(self):
        self.may_warm, self.may_score = threading.Event(), threading.Event()
        self.may_score.set()
        self.started = threading.Semaphore(0)
        self.error = None

    def warm(self):
        assert self.may_warm.wait(10)
        if self.error:
            raise self.error

    def score(self, in0, in1, **_):
        self.started.release()
        assert self.may_score.wait(10)
        if self.error:
            raise self.error
        return np.float32([[a + b / 100] for a, b in zip(in0.lengths, in1.lengths, strict=True)])

    def embed(self, **_):
        raise AssertionError


@pytest.fixture
def scorer():
    scorer = LengthScorer()
    yield scorer
    scorer.may_warm.set()


@pytest.fixture
def app(scorer):
    return create_app(scorer=scorer, settings=Settings(max_concurrent=2))


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


def test_a_failed_warm_up_is_unhealthy(client, scorer):
    scorer.error = RuntimeError("no memory")
    warm_up(scorer)
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
    with ThreadPoolExecutor(2 + WAITING_PLACES + 1) as pool:
        replies = [pool.submit(post_pair, app) for _ in range(2 + WAITING_PLACES + 1)]
        refused = next(as_completed(replies, timeout=10)).result()
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert "busy" in refused.json["error"]
        scorer.may_score.set()
        statuses = sorted(reply.result(10).status_code for reply in replies)
        assert statuses == [200] * (2 + WAITING_PLACES) + [503]


def test_no_more_than_the_permits_score_at_once(app, scorer):
    scorer.may_score.clear()
    with ThreadPoolExecutor(4) as pool:
        replies = [pool.submit(post_pair, app) for _ in range(4)]
        assert scorer.started.acquire(timeout=10)
        assert scorer.started.acquire(timeout=10)
        assert not scorer.started.acquire(timeout=0.2)
        scorer.may_score.set()
        assert [r.result(10).status_code for r in replies] == [200] * 4


def test_a_model_may_be_given(tiny_model, cache, monkeypatch):
    monkeypatch.setenv("O2V_CACHE_DIR", cache)
    client = create_app(o2v_jax.load(tiny_model), settings=Settings()).test_client()
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

    def embed(self, in0=None, in1=None, **_):
        self.embeddings = np.zeros((len(in0 or in1), 4096), np.float32)
        return self.embeddings


@pytest.fixture(scope="module")
def wide():
    return create_app(scorer=WideScorer(), settings=Settings(max_payload_mb=20)).test_client()


@pytest.mark.parametrize(
    ("record", "most", "numbers"),
    [('{"in0":[]}', 4096, 16_781_312), ('{"in0":[],"in1":[]}', 559_240, 16_777_230)],
)
def test_an_answer_that_would_take_all_memory_is_refused(wide, record, most, numbers):
    body = f'{{"instances": [{",".join([record] * (most + 1))}]}}'
    reply = wide.post("/invocations", data=body)
    assert reply.status_code == 413
    assert reply.json["error"] == (
        f"the answer would hold {numbers} numbers, but at most 16777216 can be sent: "
        "send fewer records at a time"
    )


def test_the_largest_answer_is_sent(wide):
    reply = wide.post("/invocations", data="\n".join(['{"in1":[]}'] * 4096))
    assert (reply.status_code, reply.data.count(b"0.0")) == (200, 2**24)


@pytest.mark.parametrize("side", ["in0", "in1"])
def test_embeddings_of_one_side_are_not_copied(side):
    scorer = WideScorer()
    service = Service(scorer, Settings(), Health())
    records = decode(b'{"%s": []}' % side.encode(), Format.JSON_LINES, vocab_sizes=None)
    assert service._embed(records, None) is scorer.embeddings


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
