"""POST /rerank through both shims: the order of `Scorer.rank`, and what is refused."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import orjson
import pytest
from contract_clients import SHIMS
from length_scorer import LengthScorer
from query_servers import LINES, make_scorer, require_ranking, serving, write_lines

from o2v_jax.data import Places
from o2v_jax.server.candidates import split_query
from o2v_jax.server.queries import RerankText
from o2v_jax.server.settings import ServerSettings

QUERY, IDS = "w2 w5", [4, 7]
CANDIDATES = ["w1", [4, 7], "w9 w1 w0", "nothing", "", [5]]
CANDIDATE_IDS = [[3], [4, 7], [11, 3, 2], [1], [], [5]]


@pytest.fixture(scope="module")
def scorer(worded):
    return worded[1]


@pytest.fixture(scope="module")
def both(scorer):
    with serving("flask", scorer) as flask, serving("asgi", scorer) as asgi:
        yield flask, asgi


@pytest.fixture(params=[0, 1], ids=SHIMS)
def client(both, request):
    return both[request.param]


@pytest.mark.parametrize("side", [0, 1])
def test_the_order_is_that_of_rank(client, scorer, side):
    query, candidates = f"in{side}", f"in{1 - side}"
    for body in (
        {query: QUERY, candidates: CANDIDATES},
        {query: IDS, candidates: CANDIDATE_IDS},
    ):
        reply = client.post(body, "/rerank")
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        require_ranking(reply.json, scorer.rank(IDS, CANDIDATE_IDS, 6, query_side=side))
    body |= {"k": 2, "class_index": 0}
    ranking = scorer.rank(IDS, CANDIDATE_IDS, 2, query_side=side, class_index=0)
    require_ranking(client.post(body, "/rerank").json, ranking)


SEVERAL = [
    {"in0": QUERY, "in1": ["w1", "w3", "w4"]},
    {"in1": [3], "in0": [[5, 6], [7], [8], [9]], "k": 9},
    {"in0": "w1", "in1": ["w3"], "class_index": 0},
]


def rank_each(scorer, k):
    yield scorer.rank(IDS, [[3], [5], [6]], k)
    yield scorer.rank([3], [[5, 6], [7], [8], [9]], 9, query_side=1)
    yield scorer.rank([3], [[5]], k, class_index=0)


def test_several_queries_in_a_document_and_in_lines(client, scorer):
    answers = client.post({"instances": SEVERAL, "k": 2}, "/rerank").json["predictions"]
    for answer, ranking in zip(answers, rank_each(scorer, 2), strict=True):
        require_ranking(answer, ranking)
    for headers in (LINES, {}):
        reply = client.post(write_lines(SEVERAL), "/rerank", headers)
        assert reply.headers["content-type"] == LINES["content-type"]
        for line, ranking in zip(reply.body.split(b"\n"), rank_each(scorer, 4), strict=True):
            require_ranking(orjson.loads(line), ranking)


def test_clients_at_once_get_what_each_would_alone(client, scorer):
    rng = np.random.default_rng(0)
    lists = [rng.integers(1, 20, (3 + at % 40, 3)).tolist() for at in range(48)]
    bodies = [{"in0": IDS, "in1": candidates} for candidates in lists]
    with ThreadPoolExecutor(8) as pool:
        replies = [*pool.map(lambda body: client.post(body, "/rerank"), bodies)]
    for candidates, reply in zip(lists, replies, strict=True):
        ranking = scorer.rank(IDS, candidates, len(candidates))
        scores = np.float32([each["score"] for each in reply.json["results"]])
        np.testing.assert_allclose(scores, ranking.scores, rtol=1e-5)
        order = [each["index"] for each in reply.json["results"]]
        assert sorted(order) == [*range(len(candidates))]


@pytest.mark.parametrize("number", [40, 3000])
def test_a_query_is_encoded_once(client, scorer, number):
    before = scorer.useful_tokens
    body = {"in0": [2, 3, 4], "in1": [[5 + at % 15, 2 + at // 15 % 18] for at in range(number)]}
    assert client.post(body, "/rerank").status == 200
    # a request of many pairs is scored in a few parts, each of which encodes it
    parts = 1 + number // 1000
    assert scorer.useful_tokens - before <= parts * (3 + 2 * min(number, 15 * 18))


CONTRACT = [
    ({"in0": IDS, "in1": CANDIDATE_IDS}, {"accept": "application/jsonlines"}, 200),
    ({"in0": IDS, "in1": CANDIDATE_IDS}, {"accept": "text/html"}, 406),
    ({"in0": IDS, "in1": CANDIDATE_IDS}, {"content-type": "text/csv"}, 415),
    ({"in0": IDS, "in1": [[5, 6]] * 20_000}, {}, 200),
    ({"instances": []}, {}, 200),
    (write_lines(SEVERAL), LINES | {"accept": "application/json"}, 200),
    (b"{", {}, 400),
]


@pytest.mark.parametrize(("body", "headers", "status"), CONTRACT)
def test_both_shims_answer_alike(both, body, headers, status):
    flask, asgi = (client.post(body, "/rerank", headers) for client in both)
    assert (flask.status, flask.body) == (asgi.status, asgi.body)
    assert dict(flask.headers) == dict(asgi.headers)
    assert flask.status == status


def test_a_list_of_texts_is_a_query_of_tokens_beside_lists():
    tokens, lists = ["Alien (1979)", "Heat (1995)"], [["Antz (1998)", "War"], [5]]
    for in0, in1, side in ((tokens, lists, 0), (lists, tokens, 1)):
        group = split_query(RerankText(in0=in0, in1=in1), Places(), 0)
        assert (group.side, group.query, group.candidates) == (side, tokens, lists)
    group = split_query(RerankText(in0=tokens, in1="Antz"), Places(), 0)
    assert (group.side, group.query, group.candidates) == (1, "Antz", tokens)


FORM = ": expected a query in one of in0 and in1, and a list of candidates in the other"
REFUSED = [
    ({"in0": [4]}, f'$: the field "in1" is missing{FORM}'),
    ({"in0": [4], "in1": "w1"}, f"$: holds two queries and no list of candidates{FORM}"),
    ({"in0": [[4]], "in1": [[4]]}, f"$: holds two lists of candidates and no query{FORM}"),
    ({"in0": ["w1"], "in1": ["w1"]}, f"$: holds two lists of candidates and no query{FORM}"),
    ({"in0": [], "in1": []}, f"$: holds two empty lists{FORM}"),
    ({"in0": [], "in1": [[4]]}, "$.in0: is empty, or holds no token that the model knows"),
    ({"in0": " ", "in1": [[4]]}, "$.in0: is empty, or holds no token that the model knows"),
    ({"in0": [4], "in1": []}, "$.in1: holds no candidates: expected a list of one at least"),
    ({"in0": [4], "in1": [[4], 5]}, "$.in1[1]: expected a candidate, as before it, got 5"),
    ({"in0": [4, [4]], "in1": [[4]]}, "$.in0[1]: expected a token id, as before it, got list [4]"),
    ({"in0": [20], "in1": [[4]]}, "$.in0[0]: 20 is outside the vocabulary 0..19"),
    ({"in0": "w1", "in1": ["w1", [4, 20]]}, "$.in1[1][1]: 20 is outside the vocabulary 0..19"),
    (
        {"in0": [4], "in1": [[4]], "k": 0},
        "$.k: expected an integer of at least 1, got 0 (an integer)",
    ),
    (
        {"in0": [4], "in1": [[4]], "exclude": []},
        '$: the field "exclude" is none of in0, in1, k and class_index',
    ),
    (
        {"in0": [4], "in1": [[4]], "class_index": 2},
        "$.class_index: class_index=2 must be an integer in 0..1",
    ),
    (
        {"instances": [{"in0": [4], "in1": [[4]]}, {"in1": [4], "in0": [[4], [-1]]}]},
        "$.instances[1].in0[1][0]: -1 is outside the vocabulary 0..19",
    ),
]


@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_a_wrong_query_is_refused_with_its_place(client, body, message):
    reply = client.post(body, "/rerank")
    assert reply.status == 400
    assert reply.json == {
        "error": message,
        "message": message,
        "path": message.partition(":")[0],
    }


def test_answers_are_counted_apart(client):
    client.post(b"{", "/rerank")
    metrics = client.get("/metrics").body
    assert b'o2v_rerank_requests_total{code="400"}' in metrics
    assert b'o2v_requests_total{code="400"}' not in metrics


def test_a_model_of_ids_and_three_classes_says_what_it_needs(connect):
    _, scorer = make_scorer(tokenizers=False, num_classes=3)
    client = connect(scorers=[scorer], settings=ServerSettings())
    reply = client.post({"in0": "a", "in1": [[1]]}, "/rerank")
    assert reply.json["error"].startswith('$.in0: expected a list of token ids, got "a" (a string)')
    reply = client.post({"in0": [1], "in1": [[1], [2]]}, "/rerank")
    assert reply.json["error"].startswith("$.class_index: class_index=None must be an integer")
    found = client.post({"in0": [1], "in1": [[1], [2]], "class_index": 2}, "/rerank").json
    require_ranking(found, scorer.rank([1], [[1], [2]], 2, class_index=2))


def test_small_requests_of_several_clients_are_scored_together(connect):
    scorer = LengthScorer()
    client = connect(scorers=[scorer], settings=ServerSettings())
    scorer.may_warm.set()
    client.wait_until_ready()
    scorer.may_score.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(client.post, {"in0": [1], "in1": [[1]], "class_index": 0}, "/rerank")
        while not scorer.calls:
            pass
        bodies = [{"in0": [1], "in1": [[2] * at, [3]], "class_index": 0} for at in (2, 3)]
        others = [pool.submit(client.post, body, "/rerank") for body in bodies]
        while client.service.batcher.waiting.requests < 2:
            pass
        scorer.may_score.set()
        assert first.result(10).json == {"results": [{"index": 0, "score": 1.01}]}
        for at, reply in zip((2, 3), others, strict=True):
            ranked = [(each["index"], each["score"]) for each in reply.result(10).json["results"]]
            assert ranked == [(0, 1 + at / 100), (1, 1.01)]
    assert len(scorer.calls) == 2
