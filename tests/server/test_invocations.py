"""What requests get: both formats, scores and embeddings, and every kind of wrong input."""

import json

import numpy as np
import pytest

import o2v_jax
from o2v_jax.data.tokenizers import NO_VOCABULARY

JSON, LINES = "application/json", "application/jsonlines"


@pytest.fixture(scope="module")
def scorer(tiny_model):
    return o2v_jax.Scorer(o2v_jax.load(tiny_model))


def as_body(records, media_type):
    if media_type == JSON:
        return json.dumps({"instances": records})
    return "\n".join(map(json.dumps, records))


def answers(reply, key):
    assert reply.status == 200, reply.body
    if reply.headers["Content-Type"] == JSON:
        found = reply.json["predictions"]
    else:
        assert not reply.body.endswith(b"\n")
        found = [json.loads(line) for line in reply.body.split(b"\n")]
    assert [list(answer) for answer in found] == [[key]] * len(found)
    return np.float32([answer[key] for answer in found])


@pytest.mark.parametrize("sent", [JSON, LINES])
@pytest.mark.parametrize("accept", [JSON, LINES, "*/*", None])
def test_scores_in_all_pairings_of_formats(server, scorer, pairs, sent, accept):
    headers = {"Accept": accept} if accept else {}
    reply = server.invoke(as_body(pairs, sent), sent, **headers)
    assert reply.headers["Content-Type"] == (sent if accept in ("*/*", None) else accept)
    scores = answers(reply, "scores")
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)
    expected = scorer.score([p["in0"] for p in pairs], [p["in1"] for p in pairs])
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


@pytest.mark.parametrize("sent", [JSON, LINES])
@pytest.mark.parametrize("accept", [JSON, LINES])
def test_embeddings_of_either_side_come_in_record_order(server, scorer, sent, accept):
    records = [{"in1": [7, 8]}, {"in0": [1, 2, 3]}, {"in1": [9]}, {"in0": [7, 8]}]
    found = answers(server.invoke(as_body(records, sent), sent, Accept=accept), "embeddings")
    in0, in1 = scorer.embed(in0=[[1, 2, 3], [7, 8]]), scorer.embed(in1=[[7, 8], [9]])
    np.testing.assert_allclose(found, [in1[0], in0[0], in1[1], in0[1]], rtol=1e-6)
    assert not np.allclose(found[0], found[3])


@pytest.mark.parametrize("spelling", ["; infer_max_seqlens=2,1", ";infer_max_seqlens=2,1"])
def test_infer_max_seqlens_cuts_each_side(server, spelling):
    long, cut = [{"in0": [1, 2, 3]}, {"in1": [4, 5]}], [{"in0": [1, 2]}, {"in1": [4]}]
    found = answers(server.invoke(as_body(long, LINES), LINES + spelling), "embeddings")
    np.testing.assert_array_equal(
        found, answers(server.invoke(as_body(cut, LINES), LINES), "embeddings")
    )
    assert not np.array_equal(
        found, answers(server.invoke(as_body(long, LINES), LINES), "embeddings")
    )


@pytest.mark.parametrize("records", [[{"in0": [1], "in1": [2]}] * 2, [{"in0": [1]}, {"in1": [2]}]])
@pytest.mark.parametrize("media_type", [JSON, LINES])
def test_without_a_content_type_the_body_tells(server, records, media_type):
    body = as_body(records, media_type)
    reply = server.invoke(body, content_type=None)
    assert reply.body == server.invoke(body, media_type).body
    assert reply.headers["Content-Type"] == media_type


def test_sequences_are_cut_at_the_models_max_seq_len(server):
    long, cut = ([{"in0": [*range(1, 9), *extra], "in1": [1]}] for extra in ([30] * 20, []))
    assert server.invoke(as_body(long, JSON)).body == server.invoke(as_body(cut, JSON)).body


@pytest.mark.parametrize("ids", [[], [0], [0] * 30])
def test_empty_sequences_and_zeros_get_finite_scores(server, ids):
    records = [{"in0": ids, "in1": [1]}, {"in0": [1], "in1": ids}, {"in0": ids, "in1": ids}]
    assert np.isfinite(answers(server.invoke(as_body(records, JSON)), "scores")).all()


def test_no_instances_get_no_predictions(server):
    reply = server.invoke('{"instances": []}')
    assert (reply.status, reply.body) == (200, b'{"predictions":[]}')


def test_unknown_keys_are_ignored(server, pairs, good_answer):
    records = [pair | {"label": "none", "id": [None]} for pair in pairs]
    assert server.invoke(json.dumps({"instances": records, "more": 1})).body == good_answer


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\n\n \n", "\r\n\r\n"])
def test_lines_are_read_as_json_lines_readers_do(server, pairs, ends):
    noted = [pair | {"note": "a\u2028b"} for pair in pairs]
    body = "\ufeff" + "".join(json.dumps(r, ensure_ascii=False) + ends for r in noted)
    plain = server.invoke(as_body(pairs, LINES), LINES).body
    assert server.invoke(body.encode(), LINES).body == plain


def test_a_byte_order_mark_is_tolerated_in_json(server, pairs, good_answer):
    body = b"\xef\xbb\xbf" + as_body(pairs, JSON).encode()
    assert server.invoke(body, "application/json; charset=utf-8").body == good_answer


def test_a_large_request_keeps_its_order(server, scorer):
    rng = np.random.default_rng(0)
    rows = [rng.integers(1, 40, n).tolist() for n in rng.integers(0, 9, 3000)]
    records = [{"in0": row, "in1": other} for row, other in zip(rows, rows[::-1], strict=True)]
    found = answers(server.invoke(as_body(records, LINES), LINES), "scores")
    np.testing.assert_allclose(found, scorer.score(rows, rows[::-1]), rtol=1e-5)


BAD_IDS = [
    ("[1, 40]", "$.instances[1].in0[1]: 40 is outside the vocabulary 0..39"),
    ("[-1]", "$.instances[1].in0[0]: -1 is outside the vocabulary 0..39"),
    ("[1.5]", "$.instances[1].in0[0]: expected an integer token id, got 1.5 (a float)"),
    ("[true]", "$.instances[1].in0[0]: expected an integer token id, got true (a bool)"),
    (
        '["1"]',
        f'$.instances[1].in0[0]: expected an integer token id, got "1" (a string): {NO_VOCABULARY}',
    ),
    ("[null]", "$.instances[1].in0[0]: expected an integer token id, got null"),
    ("[[1]]", "$.instances[1].in0[0]: expected an integer token id, got a list"),
    ("null", "$.instances[1].in0: expected a list of token ids, got null"),
    (
        '"1 2"',
        f'$.instances[1].in0: expected a list of token ids, got "1 2" (a string): {NO_VOCABULARY}',
    ),
    (f"[{'7' * 3000}]", f"$.instances[1].in0[0]: {'7' * 40}... is outside the vocabulary 0..39"),
    (f"[{'7' * 90_000}]", "$.instances[1].in0[0]: the integer is outside the vocabulary 0..39"),
]


@pytest.mark.parametrize(("ids", "message"), BAD_IDS)
@pytest.mark.usefixtures("still_good")
def test_bad_ids(server, ids, message):
    first, bad = '{"in0": [1], "in1": [1]}', f'{{"in0": {ids}, "in1": [1]}}'
    reply = server.invoke(f'{{"instances": [{first}, {bad}]}}')
    assert reply.status == 400
    assert reply.json == {"error": message, "message": message, "path": message.split(": ")[0]}
    reply = server.invoke(f"{first}\n\n{bad}", LINES)
    assert reply.status == 400
    assert reply.json["error"] == message.replace("$.instances[1]", "line 3 $")


BAD_BODIES = [
    (b"", JSON, "$: the body is empty"),
    (b"\n \n", LINES, "$: the body is empty"),
    (b"", None, "$: the body is empty"),
    (b"{", JSON, "$: not valid JSON"),
    (b"\x80", JSON, "$: not UTF-8: byte 0 is 0x80"),
    (b"\x80", None, "$: not UTF-8"),
    (b'[{"in0": [1]}]', JSON, '$: expected {"instances": [...]}, got a list: wrap it'),
    (b'"text"', JSON, '$: expected {"instances": [...]}, got "text" (a string)'),
    (b"{}", JSON, '$: the field "instances" is missing'),
    (b'{"instances": {"in0": [1]}}', JSON, "$.instances: expected a list of records"),
    (b'{"instances": [[1]]}', JSON, "$.instances[0]: expected an object that holds"),
    (b'{"instances": [{"in2": [1]}]}', JSON, "$.instances[0]: holds neither in0 nor in1"),
    (b'{"in1": [1]}\n{}', LINES, "line 2 $: holds neither in0 nor in1"),
    (b'{"in1": [1]}\n[]', LINES, "line 2 $: expected an object that holds in0, in1"),
    (
        b'{"instances": [{"in0": [1]}, {"in0": [1], "in1": [1]}]}',
        JSON,
        "$.instances[1]: gives both sides, but $.instances[0] gives only one",
    ),
    (b'{"in0": [1]}\n{"in0": [1]}', JSON, "$: the body is JSON Lines: send it with Content-Type"),
    (b'{"instances": [{"in0": [1]}]}', LINES, "$: the body is one JSON document: send it with"),
    (b'{"instances": [], "x": ' + b"[" * 200_000, JSON, "$: the JSON is nested too deeply"),
    (b'{"in0": ' + b"[" * 200_000, LINES, "line 1 $.in0[0]: expected an integer token id"),
    (b'{"instances": []}', f"{JSON}; infer_max_seqlens=0,9", "infer_max_seqlens=0,9 is outside"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "media_type", "message"), BAD_BODIES)
@pytest.mark.usefixtures("still_good")
def test_bad_bodies(server, body, media_type, message):
    reply = server.invoke(body, media_type)
    assert reply.status == 400
    assert reply.headers["Content-Type"] == JSON
    assert reply.json["error"].startswith(message)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/invocations", {"Content-Type": "text/csv"}, 415),
        ("POST", "/invocations", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ("POST", "/invocations", {"Content-Type": JSON, "Content-Encoding": "gzip"}, 415),
        ("POST", "/invocations", {"Content-Type": JSON, "Accept": "text/html"}, 406),
        ("GET", "/invocations", {}, 405),
        ("PUT", "/endpoints/a/invocations", {}, 405),
        ("POST", "/ping", {}, 405),
        ("POST", "/execution-parameters", {}, 405),
        ("GET", "/", {}, 404),
        ("POST", "/invocations/", {}, 404),
        ("POST", "/endpoints/a/b/invocations", {}, 404),
    ],
)
@pytest.mark.usefixtures("still_good")
def test_wrong_requests(server, method, path, headers, status):
    reply = server.request(method, path, b'{"instances": []}', headers)
    assert reply.status == status
    assert set(reply.json) == {"error", "message"}
    assert ("Allow" in reply.headers) == (status == 405)


@pytest.mark.usefixtures("still_good")
def test_a_body_of_just_the_limit_is_read(server, pairs, good_answer):
    body = as_body(pairs, JSON).ljust(6_291_456)
    assert server.invoke(body).body == good_answer
    streamed = server.request("POST", "/invocations", iter([body.encode()]), {"Content-Type": JSON})
    assert streamed.body == good_answer


@pytest.mark.parametrize("body", ['{"instances": []}', "x"])
def test_custom_attributes_come_back_with_every_answer(server, body):
    reply = server.invoke(body, **{"X-Amzn-SageMaker-Custom-Attributes": "trace=17; a, b"})
    assert reply.headers["X-Amzn-SageMaker-Custom-Attributes"] == "trace=17; a, b"


def test_a_body_that_is_said_to_be_as_it_is(server, pairs, good_answer):
    reply = server.invoke(as_body(pairs, JSON), **{"Content-Encoding": "identity"})
    assert reply.body == good_answer


def test_unknown_headers_are_ignored(server, pairs, good_answer):
    body = as_body(pairs, JSON)
    reply = server.invoke(body, **{"X-Amzn-SageMaker-Target-Model": "a", "Prefer": "b"})
    assert reply.body == good_answer
