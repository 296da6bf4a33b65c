"""Long responses through both shims: in pieces, and no more than there is memory for."""

from contextlib import ExitStack

import numpy as np
import pytest
from length_scorer import LengthScorer

from o2v_jax import Hyperparameters
from o2v_jax.scoring import choose_shapes
from o2v_jax.server.invocation import Invocations
from o2v_jax.server.limits import MAX_RESPONSE_FLOATS, STREAMS
from o2v_jax.server.service import LONG_RESPONSE, Service
from o2v_jax.server.settings import ServerSettings


class WideScorer(LengthScorer):
    """Embeds anything as 4096 zeros."""

    config = Hyperparameters(
        enc0_max_seq_len=8,
        enc0_network="pooled_embedding",
        enc0_vocab_size=40,
        enc_dim=4096,
        num_classes=30,
    )

    shapes = choose_shapes(config)
    fill = 0

    def score(self, in0, _in1, **_):
        return np.zeros((len(in0), 30), np.float32)

    def embed(self, in0=None, in1=None, **_):
        self.embeddings = np.full((len(in0 or in1), 4096), self.fill, np.float32)
        return self.embeddings


@pytest.fixture
def wide(connect):
    scorer = WideScorer()
    scorer.may_warm.set()  # what waits for it longer than for seconds fails, and says so in the log
    return connect(scorers=[scorer], settings=ServerSettings(max_payload_mb=20, max_concurrent=1))


def singles(count):
    return b"\n".join([b'{"in1":[]}'] * count)


def test_an_answer_that_would_take_all_memory_is_refused(wide):
    reply = wide.post(singles(MAX_RESPONSE_FLOATS // 4096 + 1))
    assert reply.status == 413
    assert reply.json["error"] == (
        "the answer would hold 67112960 numbers, but at most 67108864 can be sent: "
        "send fewer records at a time"
    )


@pytest.mark.slow
def test_the_largest_answer_is_sent_in_pieces(wide):
    with wide.stream("POST", "/invocations", singles(MAX_RESPONSE_FLOATS // 4096)) as reply:
        assert reply.status == 200
        assert "content-length" not in reply.headers
        pieces = [(len(piece), piece.count(b"0.0")) for piece in reply]
    assert sum(numbers for _, numbers in pieces) == MAX_RESPONSE_FLOATS
    assert max(length for length, _ in pieces) < 2**20


def test_only_long_answers_come_in_pieces(wide):
    pair = b'{"in0":[],"in1":[]}'
    whole, long = LONG_RESPONSE // 30, LONG_RESPONSE // 30 + 1
    one, many = wide.post(b"\n".join([pair] * whole)), wide.post(b"\n".join([pair] * long))
    assert (one.body.count(b"\n") + 1, many.body.count(b"\n") + 1) == (whole, long)
    assert ("content-length" in one.headers, "content-length" in many.headers) == (True, False)


@pytest.mark.parametrize("read", [False, True])
def test_a_client_that_leaves_a_long_answer_gives_its_place_back(wide, read):
    floats = wide.service.response_floats
    assert floats.free == MAX_RESPONSE_FLOATS
    with wide.stream("POST", "/invocations", singles(2000)) as reply:
        assert floats.free == MAX_RESPONSE_FLOATS - 2000 * 4096
        if read:
            next(iter(reply))
            assert floats.free == MAX_RESPONSE_FLOATS - 2000 * 4096
    assert floats.free == MAX_RESPONSE_FLOATS


def test_no_more_long_answers_are_on_their_way_than_there_are_places(wide):
    with ExitStack() as stack:
        for _ in range(STREAMS):
            reply = stack.enter_context(wide.stream("POST", "/invocations", singles(17)))
            assert reply.status == 200
        assert wide.post(singles(17)).status == 503
        assert wide.post(singles(16)).status == 200
    assert wide.post(singles(17)).status == 200


def test_a_number_that_json_has_not_is_an_error_before_anything_is_sent(wide):
    scorer = wide.service.scorers[0]
    scorer.fill = np.nan
    for count in (1, 17):
        reply = wide.post(singles(count))
        assert (reply.status, reply.headers["content-type"]) == (500, "application/json")
    scorer.fill = 0
    assert wide.post(singles(17)).status == 200


@pytest.mark.parametrize("side", ["in0", "in1"])
def test_embeddings_of_one_side_are_not_copied(side):
    scorer = WideScorer()
    service = Service([scorer], ServerSettings())
    invocations = Invocations(service)
    invocation = invocations.submit(
        b'{"%s": []}' % side.encode(), "application/jsonlines", None, service.admit()
    )
    _, values = invocations.collect(invocation)
    invocation.close()
    assert np.shares_memory(values, scorer.embeddings)
    service.close()
