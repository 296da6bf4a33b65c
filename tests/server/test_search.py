"""POST /search through both shims: what `Index.search` finds, shared work, and what is refused."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from threading import Event, Semaphore

import numpy as np
import orjson
import pytest
from contract_clients import SHIMS
from length_scorer import LengthScorer
from query_servers import KEYS, LINES, make_index, require_hits, serving, write_lines

import o2v_jax
from o2v_jax import InBatchObjective, Index, Model
from o2v_jax.server import search_batcher
from o2v_jax.server.errors import BusyError
from o2v_jax.server.limits import REQUESTS
from o2v_jax.server.search import Search
from o2v_jax.server.settings import ServerSettings

ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
QUERY = {"in0": [4, 7]}


@pytest.fixture(scope="module")
def index(worded):
    """The head ranks, of ten candidates: what it finds depends on k."""
    return make_index(*worded, candidates=10)


@pytest.fixture(scope="module")
def both(worded, index):
    _, scorer = worded
    with serving("flask", scorer, index) as flask, serving("asgi", scorer, index) as asgi:
        yield flask, asgi


@pytest.fixture(params=[0, 1], ids=SHIMS)
def client(both, request):
    return both[request.param]


def test_one_query_finds_what_the_index_does(client, index):
    for query, ids in (
        ({"in0": "w2 w5"}, [4, 7]),
        (QUERY, [4, 7]),
    ):
        reply = client.post(query, "/search")
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        require_hits(reply.json, index.search([ids])[0])
    reply = client.post(QUERY | {"k": 3, "exclude": KEYS[:20]}, "/search")
    require_hits(reply.json, index.search([[4, 7]], 3, exclude=KEYS[:20])[0])


SEVERAL = [
    {"in0": "w1", "k": 2},
    {"in0": [5, 6, 7], "exclude": KEYS[3:9]},
    {"in0": "w9 w1", "k": 30, "exclude": []},
    {"in0": "nothing known", "k": 1, "exclude": [KEYS[0]]},
]


def search_each(index, queries, k, exclude):
    """What each query finds alone."""
    options = {"k": k, "exclude": exclude}
    ids = {"w1": [3], "w9 w1": [11, 3], "nothing known": [1, 1]}
    found = []
    for query in (options | each for each in queries):
        given = ids.get(str(query["in0"]), query["in0"])
        found += index.search([given], query["k"], exclude=query["exclude"])
    return found


def test_several_queries_have_options_of_their_own_and_of_all(client, index):
    body = {"instances": SEVERAL, "k": 7, "exclude": KEYS[25:]}
    answers = client.post(body, "/search").json["predictions"]
    for answer, hits in zip(answers, search_each(index, SEVERAL, 7, KEYS[25:]), strict=True):
        require_hits(answer, hits)


def test_a_line_is_a_query_and_its_answer_is_one(client, index):
    expected = search_each(index, SEVERAL, 10, [])
    for headers in (LINES, {}):
        reply = client.post(write_lines(SEVERAL), "/search", headers)
        assert reply.headers["content-type"] == LINES["content-type"]
        for line, hits in zip(reply.body.split(b"\n"), expected, strict=True):
            require_hits(orjson.loads(line), hits)


def test_clients_at_once_find_what_each_would_alone(client, index):
    expected = search_each(index, SEVERAL, 10, [])
    with ThreadPoolExecutor(8) as pool:
        replies = [*pool.map(lambda at: client.post(SEVERAL[at % 4], "/search"), range(48))]
    for at, reply in enumerate(replies):
        require_hits(reply.json, expected[at % 4])


@pytest.mark.parametrize("numbers", [60, 10_000])
def test_many_queries_are_searched_in_turns(client, index, monkeypatch, numbers):
    monkeypatch.setattr(search_batcher, "TURN", 7)
    monkeypatch.setattr(search_batcher, "QUERIES", 10)
    monkeypatch.setattr(search_batcher, "FOUND", numbers)
    queries = [{"in0": [1 + at % 19], "k": 1 + at % 13} for at in range(40)]
    answers = client.post({"instances": queries}, "/search").json["predictions"]
    for query, answer in zip(queries, answers, strict=True):
        require_hits(answer, index.search([query["in0"]], query["k"])[0])


CONTRACT = [
    (QUERY, {}, 200),
    (QUERY, {"accept": "application/jsonlines"}, 200),
    (QUERY, {"accept": "text/html"}, 406),
    (QUERY, {"content-type": "text/csv"}, 415),
    (QUERY, {"content-encoding": "gzip"}, 415),
    (QUERY, {"content-type": "application/json; infer_max_seqlens=1,1", ATTRIBUTES: "a=1"}, 200),
    ({"instances": [QUERY, QUERY]}, {"accept": "application/jsonlines"}, 200),
    ({"instances": []}, {}, 200),
    ({"instances": [{"in0": [3]}] * 300, "k": 30}, {}, 200),
    (write_lines([QUERY, QUERY]), LINES | {"accept": "application/json"}, 200),
    (write_lines([QUERY, QUERY]), {"content-type": "application/json"}, 400),
    (b"", {}, 400),
]


@pytest.mark.parametrize(("body", "headers", "status"), CONTRACT)
def test_both_shims_answer_alike(both, body, headers, status):
    flask, asgi = (client.post(body, "/search", headers) for client in both)
    assert (flask.status, flask.body) == (asgi.status, asgi.body)
    assert dict(flask.headers) == dict(asgi.headers)
    assert flask.status == status
    assert flask.headers.get(ATTRIBUTES) == headers.get(ATTRIBUTES)


def test_a_body_has_the_limit_of_all(client):
    assert client.post(b" " * 6_291_457, "/search").status == 413


def test_methods_are_those_of_invocations(client):
    for method, status in (("GET", 405), ("PUT", 405), ("OPTIONS", 200)):
        reply = client.request(method, "/search")
        assert (reply.status, reply.headers["allow"]) == (status, "OPTIONS, POST")


REFUSED = [
    ({"in0": [4], "k": 0}, "$.k: expected an integer of at least 1, got 0 (an integer)"),
    ({"in0": [4], "k": "3"}, '$.k: expected an integer of at least 1, got "3" (a string)'),
    ({"in0": [4], "k": 31}, "$.k: 31 is more than the 30 items of the index"),
    ({"in0": []}, "$.in0: is empty, or holds no token that the model knows"),
    ({"in0": ""}, "$.in0: is empty, or holds no token that the model knows"),
    ({"in0": [20]}, "$.in0[0]: 20 is outside the vocabulary 0..19"),
    ({"in0": 4}, "$.in0: expected a list of token ids, got 4 (an integer)"),
    ({"in1": [4]}, "$.in1: this index holds in1: a query of it is an in0 alone"),
    ({"in0": [4], "in1": [4]}, "$.in1: this index holds in1: a query of it is an in0 alone"),
    ({"k": 1}, '$: the field "in0" is missing, which asks for items of this index'),
    ({"in0": [4], "exclude": ["x"]}, "$.exclude: the index has no key 'x'"),
    ({"in0": [4], "exclude": "x"}, '$.exclude: expected a list of keys, got "x" (a string)'),
    ({"in0": [4], "K": 1}, '$: the field "K" is none of in0, in1, k and exclude'),
    ([4], "$: expected an object that holds in0, in1 or both, got a list"),
    (
        {"instances": [{"in0": [4]}, {"in0": [4], "k": 99}]},
        "$.instances[1].k: 99 is more than the 30 items of the index",
    ),
    ({"instances": [{"in0": [4]}], "k": 99}, "$.k: 99 is more than the 30 items of the index"),
    ({"instances": [], "in0": [4]}, '$: holds "instances" and a query beside it: give either'),
]


@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_a_wrong_query_is_refused_with_its_place(client, body, message):
    reply = client.post(body, "/search")
    path = message.partition(":")[0]
    assert reply.status == 400
    assert reply.json == {"error": message, "message": message, "path": path}


def test_a_line_is_named_and_labels_are_not_for_searches(client):
    lines = write_lines([QUERY, {"instances": [QUERY]}])
    assert client.post(lines, "/search", LINES).json["path"] == "line 2 $"
    reply = client.post(QUERY, "/search?labels=true")
    assert reply.json["error"].endswith("only POST /invocations gives class names")
    assert client.post(QUERY, "/search").status == 200


def test_hits_have_a_limit(client, monkeypatch):
    monkeypatch.setattr("o2v_jax.server.search.MAX_HITS", 40)
    reply = client.post({"instances": [QUERY] * 2, "k": 21}, "/search")
    assert reply.status == 413
    assert reply.json["error"].startswith("the answer would hold 42 hits in all, but at most 40")
    assert client.post({"instances": [QUERY] * 2, "k": 20}, "/search").status == 200
    # what all queries find stands in one array, as wide as the largest k
    reply = client.post({"instances": [QUERY | {"k": 25}, QUERY | {"k": 1}]}, "/search")
    assert reply.json["error"].startswith("the answer would hold 50 hits in all, but at most 40")
    reply = client.post({"instances": [QUERY] * 2, "k": 1, "exclude": KEYS[:21]}, "/search")
    assert reply.status == 413
    assert reply.json["error"].startswith("42 items are left out in all, but at most 40")


def test_encodings_have_a_limit(client, monkeypatch):
    monkeypatch.setattr("o2v_jax.server.search.MAX_RESPONSE_FLOATS", 8)
    reply = client.post({"instances": [QUERY] * 9, "k": 1}, "/search")
    assert reply.status == 413
    assert reply.json["error"].startswith("the encodings of the queries would hold ")


class HeldIndex:
    """An index whose searches wait until they are let."""

    def __init__(self, index):
        self._index = index
        self.started, self.may_search = Semaphore(0), Event()

    def search_encodings(self, *arguments):
        self.started.release()
        assert self.may_search.wait(10)
        return self._index.search_encodings(*arguments)


def test_what_waits_too_long_for_a_search_is_withdrawn(numbered):
    index, encoding = HeldIndex(numbered), Future()
    batcher = search_batcher.SearchBatcher(index, lambda _: None, nullcontext, timeout_s=0.1)
    encoding.set_result(np.ones((1, 16), np.float32))
    wanted = encoding, np.array([3]), [np.zeros(0, np.int64)]
    first = batcher.submit(*wanted)
    index.started.acquire()
    with pytest.raises(BusyError, match=r"busy for 0\.1 s"):
        batcher.result(batcher.submit(*wanted))
    index.may_search.set()
    positions, _ = batcher.result(first)
    assert positions.shape == (1, 3)
    batcher.close()


def test_searches_are_counted_and_timed(client):
    before = read_metrics(client)
    for body in (QUERY, {"instances": [QUERY] * 3}, {"in0": [99]}):
        client.post(body, "/search")
    after = read_metrics(client)
    rise = {name: value - before.get(name, 0) for name, value in after.items()}
    assert rise['o2v_search_requests_total{code="200"}'] == 2
    assert rise['o2v_search_requests_total{code="400"}'] == 1
    assert rise['o2v_stage_seconds_count{stage="search"}'] == 2
    assert rise["o2v_search_queries_sum"] == 4
    assert rise.get('o2v_requests_total{code="200"}', 0) == 0


def read_metrics(client):
    lines = client.get("/metrics").body.decode().splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def test_without_an_index_it_says_how_to_serve_one(connect):
    scorer = LengthScorer()
    scorer.may_warm.set()
    client = connect(scorers=[scorer], settings=ServerSettings())
    reply = client.post(QUERY, "/search")
    assert reply.status == 404
    assert reply.json["error"] == (
        "POST /search: this server has no index: start it with o2v serve --index INDEX, or with "
        "O2V_INDEX"
    )


@pytest.fixture(scope="module")
def numbered():
    """An index for `LengthScorer`, with numbers as keys."""
    config = replace(
        LengthScorer.config,
        enc0_network="pooled_embedding",
        enc1_network="pooled_embedding",
        objective=InBatchObjective(),
    )
    model = Model(config, o2v_jax.init(config))
    vectors = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)
    return Index.build(model, vectors)


@pytest.fixture
def held(connect, numbered):
    """A client of each shim, whose device waits for `may_score`."""
    scorer = LengthScorer()
    scorer.may_warm.set()
    client = connect(scorers=[scorer], settings=ServerSettings(), index=numbered)
    client.wait_until_ready()
    scorer.may_score.clear()
    yield client
    scorer.may_score.set()


def wait_for_requests(client, count):
    end = time.monotonic() + 60
    while not client.service.scorers[0].calls or client.service.batcher.waiting.requests < count:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_waits_is_encoded_and_searched_together(held, numbered):
    wanted = [(50, [0]), (3, ["3", 7]), (7, []), (7, [8])]
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(held.post, {"in0": [1]}, "/search")
        wait_for_requests(held, 0)
        others = [
            pool.submit(held.post, {"in0": [1, 2], "k": k, "exclude": exclude}, "/search")
            for k, exclude in wanted
        ]
        embedded = pool.submit(held.post, {"instances": [{"in0": [9]}]})
        wait_for_requests(held, 5)
        held.service.scorers[0].may_score.set()
        assert first.result(10).status == embedded.result(10).status == 200
        for (k, exclude), reply in zip(wanted, others, strict=True):
            (hits,) = numbered.search(np.ones((1, 16), np.float32), k, exclude=exclude)
            require_hits(reply.result(10).json, hits)
    found = read_metrics(held)
    # one for the first request, one for all others; or one, if that has not begun before
    assert found["o2v_search_queries_count"] in {1, 2}
    assert found["o2v_search_queries_sum"] == 5
    assert sorted(map(sorted, held.service.scorers[0].calls)) == [[1], [1, 2, 2, 2, 2]]


def test_queries_are_encoded_by_any_device(connect, numbered):
    scorers = [LengthScorer(), LengthScorer()]
    client = connect(scorers=scorers, settings=ServerSettings(), index=numbered)
    for scorer in scorers:
        scorer.may_warm.set()
        scorer.may_score.clear()
    (expected,) = numbered.search(np.ones((1, 16), np.float32))
    with ThreadPoolExecutor(2) as pool:
        replies = [pool.submit(client.post, QUERY, "/search")]
        while not any(scorer.calls for scorer in scorers):
            time.sleep(0.001)
        replies.append(pool.submit(client.post, QUERY, "/search"))
        end = time.monotonic() + 20
        while not all(scorer.calls for scorer in scorers):
            assert time.monotonic() < end
            time.sleep(0.001)
        for scorer in scorers:
            scorer.may_score.set()
        for reply in replies:
            require_hits(reply.result(10).json, expected)


def test_beyond_the_limit_requests_are_refused_at_once(held):
    with ThreadPoolExecutor(REQUESTS + 1) as pool:
        replies = [pool.submit(held.post, QUERY, "/search") for _ in range(REQUESTS + 1)]
        while not any(reply.done() for reply in replies):
            time.sleep(0.001)
        refused = next(reply for reply in replies if reply.done()).result()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        held.service.scorers[0].may_score.set()
        statuses = sorted(reply.result(20).status for reply in replies)
    assert statuses == [200] * REQUESTS + [503]
    assert held.service.requests.free == REQUESTS


def test_what_nobody_waits_for_is_not_searched(held, numbered):
    service, scorer = held.service, held.service.scorers[0]
    search = Search(service, numbered, service.searches)
    body = orjson.dumps({"instances": [QUERY] * 3})
    given_up = search.submit(body, None, None, service.admit())
    wait_for_requests(held, 0)
    withdrawn = search.submit(body, None, None, service.admit())
    wait_for_requests(held, 1)
    withdrawn.withdraw()
    given_up.abandon()
    scorer.may_score.set()
    assert [pending.searches[0].done() for pending in (given_up, withdrawn)] == [True, True]
    with pytest.raises(BusyError, match=r"the server was busy for 20\.0 s"):
        search.finish(withdrawn)
    for pending in (given_up, withdrawn):
        pending.close()
    assert held.post(QUERY, "/search").status == 200
    assert read_metrics(held)["o2v_search_queries_sum"] == 1
    assert (service.records.in_use, service.requests.in_use) == (False, False)


def test_a_search_that_fails_is_the_requests_own(held, numbered, monkeypatch, caplog):
    held.service.scorers[0].may_score.set()
    monkeypatch.setattr(numbered, "search_encodings", lambda *_: 1 / 0)
    reply = held.post(QUERY, "/search")
    assert (reply.status, reply.json["error"]) == (500, "the server failed: its log says why")
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()
    assert held.post(QUERY, "/search").status == 200


def test_an_encoding_that_is_not_finite_is_refused(held):
    scorer = held.service.scorers[0]
    scorer.may_score.set()
    scorer.config = replace(scorer.config)
    scorer.embed_validated = lambda _, rows: np.full((len(rows), 16), np.nan, np.float32)
    reply = held.post({"instances": [QUERY]}, "/search")
    assert reply.status == 400
    assert reply.json["error"] == "$.instances[0].in0: its encoding holds NaN or infinity"


def test_a_server_that_is_closed_finishes_its_search_alone(held, numbered, monkeypatch):
    """What waits for the search is refused, and nobody waits for ever."""
    search, began, may_end = numbered.search_encodings, Semaphore(0), Event()

    def search_held(*arguments):
        began.release()
        assert may_end.wait(20)
        return search(*arguments)

    monkeypatch.setattr(numbered, "search_encodings", search_held)
    held.service.scorers[0].may_score.set()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(held.post, QUERY, "/search")
        assert began.acquire(timeout=20)
        second = pool.submit(held.post, QUERY, "/search")
        while held.service.searches.waiting < 1:
            time.sleep(0.001)
        closed = pool.submit(held.service.close)
        while held.service.searches.alive:
            time.sleep(0.001)
        may_end.set()
        closed.result(20)
        assert (first.result(20).status, second.result(20).status) == (200, 503)


def test_a_closed_server_refuses(held):
    held.service.scorers[0].may_score.set()
    held.service.close()
    reply = held.post(QUERY, "/search")
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert held.get("/ping").status == 503
