"""Words over HTTP: sides as texts, class names in the response, and what is refused."""

import json
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from contract_clients import SECONDS, SHIMS, create_client
from prometheus_client.parser import text_string_to_metric_families

import o2v_jax
from o2v_jax import Hyperparameters, Model, Scorer, Vocabulary
from o2v_jax.data.tokenizers import Tokenizer
from o2v_jax.scoring.device_profile import CPU
from o2v_jax.server.settings import ServerSettings

pytestmark = pytest.mark.slow

USERS = Vocabulary({"<pad>": 0, "<unk>": 1, "Ann": 2, "Bob": 3, "1": 4})
WORDS = Vocabulary({"<pad>": 0, "<unk>": 1, "a": 2, "film": 3, "about": 4, "crime": 5})
CLASSES = ("dislikes", 'likes "it"')
LINES = {"content-type": "application/jsonlines"}
# few programs: batches of one row and of 32
PROFILE = CPU._replace(
    max_tokens=dict.fromkeys(CPU.max_tokens, 64),
    batch_base=32,
    head_batch=32,
    fetch_batches=(1, 32),
    fused_batches=(4,),
)


CONFIG = Hyperparameters(
    enc0_network="pooled_embedding",
    enc0_max_seq_len=4,
    enc0_vocab_size=5,
    enc0_token_embedding_dim=8,
    enc1_network="hcnn",
    enc1_max_seq_len=8,
    enc1_vocab_size=6,
    enc1_token_embedding_dim=8,
    enc_dim=8,
    mlp_dim=4,
    num_classes=2,
)


@pytest.fixture(scope="module")
def scorer():
    """A scorer with few programs, which both shims share."""
    tokenizers = Tokenizer("value", USERS, whole_numbers=True), Tokenizer("text", WORDS)
    model = Model(CONFIG, o2v_jax.init(CONFIG, 1), tokenizers, class_names=CLASSES)
    return Scorer(model, max_programs=16, profile=PROFILE)


@contextmanager
def serving(shim, scorer):
    """A client of a server whose warm-up has ended: no thread is left."""
    client = create_client(shim, scorers=[scorer], settings=ServerSettings())
    try:
        end = time.monotonic() + SECONDS
        while not client.service.health.warm_up_ended:
            assert time.monotonic() < end
            time.sleep(0.01)
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module", params=SHIMS)
def client(request, scorer):
    with serving(request.param, scorer) as client:
        yield client


@pytest.fixture(scope="module")
def scorer_of_ids():
    short = {"enc0_max_seq_len": 1, "enc1_max_seq_len": 1}
    config = replace(CONFIG, enc1_network="pooled_embedding", **short)
    return Scorer(Model(config, o2v_jax.init(config, 1)), max_programs=16, profile=PROFILE)


@pytest.fixture(scope="module", params=SHIMS)
def client_of_ids(request, scorer_of_ids):
    with serving(request.param, scorer_of_ids) as client:
        yield client


def scores(reply):
    assert reply.status == 200, reply.body
    return np.float32([each["scores"] for each in reply.json["predictions"]])


WORDED = [
    {"in0": "Ann", "in1": "A film about crime"},
    {"in0": "1.0", "in1": "crime"},
    {"in0": [3], "in1": "nothing known"},
    {"in0": "Cleo", "in1": [2, 3]},
]
IN_IDS = [
    {"in0": [2], "in1": [2, 3, 4, 5]},
    {"in0": [4], "in1": [5]},
    {"in0": [3], "in1": [1, 1]},
    {"in0": [1], "in1": [2, 3]},
]


def test_words_get_the_scores_of_their_ids(client, scorer):
    found = scores(client.post({"instances": WORDED}))
    np.testing.assert_array_equal(found, scores(client.post({"instances": IN_IDS})))
    expected = scorer.score([r["in0"] for r in IN_IDS], [r["in1"] for r in IN_IDS])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    body = "\n".join(map(json.dumps, WORDED)).encode()
    lines = client.post(body, headers=LINES).body.split(b"\n")
    by_line = np.float32([json.loads(line)["scores"] for line in lines])
    np.testing.assert_array_equal(found, by_line)


def test_one_side_in_words_is_embedded(client):
    replies = [
        client.post({"instances": [{"in1": value}]}).json["predictions"][0]["embeddings"]
        for value in ("a film", [2, 3])
    ]
    assert replies[0] == replies[1]


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/invocations?labels=true", "*/*"),
        ("/invocations", "application/json; labels=true"),
        ("/endpoints/any/invocations", "application/json;labels=true, */*"),
    ],
)
def test_class_names_are_added_where_they_are_asked_for(client, path, accept):
    plain = client.post({"instances": WORDED}).json["predictions"]
    named = client.post({"instances": WORDED}, path, {"accept": accept}).json["predictions"]
    assert [list(each) for each in plain] == [["scores"]] * 4
    for without, found in zip(plain, named, strict=True):
        best = CLASSES[int(np.argmax(without["scores"]))]
        assert found == without | {"label": best, "labels": [*CLASSES]}


def test_class_names_in_json_lines_and_where_they_are_declined(client):
    headers = {"accept": "application/jsonlines; labels=true"}
    lines = client.post({"instances": WORDED}, headers=headers).body.split(b"\n")
    assert [json.loads(line)["labels"] for line in lines] == [[*CLASSES]] * 4
    declined = client.post({"instances": WORDED}, "/invocations?labels=false")
    assert [list(each) for each in declined.json["predictions"]] == [["scores"]] * 4


@pytest.mark.parametrize(
    ("path", "record", "message"),
    [
        ("?labels=yes", WORDED[0], "labels=yes must be true or false"),
        ("?labels=true", {"in0": "Ann"}, "but embeddings have no classes: send pairs"),
        ("", {"in0": ["Ann"], "in1": [2]}, "$.instances[1].in0: must be one value, a text"),
        ("", {"in0": "Ann", "in1": ["a"]}, "$.instances[1].in1: must be a text, but it is list"),
        ("", {"in0": "Ann", "in1": [9]}, "$.instances[1].in1[0]: 9 is outside the vocabulary 0..5"),
        ("", {"in0": "Ann", "in1": 5}, "$.instances[1].in1: expected a list of token ids, got 5"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_its_place(client, path, record, message):
    first = WORDED[0] if len(record) > 1 else {"in0": "Bob"}
    reply = client.post({"instances": [first, record]}, f"/invocations{path}")
    assert reply.status == 400
    assert message in reply.json["message"]


def test_unknown_words_are_counted_by_side(client):
    def count():
        families = text_string_to_metric_families(client.get("/metrics").body.decode())
        found = next(each for each in families if each.name == "o2v_unknown_tokens")
        return {s.labels["side"]: s.value for s in found.samples if s.name.endswith("_total")}

    before = count()
    client.post({"instances": WORDED})
    rise = {side: value - before[side] for side, value in count().items()}
    assert rise == {"in0": 1, "in1": 2}


@pytest.mark.parametrize(
    ("path", "side", "message"),
    [
        ("", "Ann", '$.instances[0].in0: expected a list of token ids, got "Ann" (a string)'),
        ("", ["Ann"], '$.instances[0].in0[0]: expected an integer token id, got "Ann" (a string)'),
        ("?labels=true", [1], "labels=true was sent, but this model has no class names"),
    ],
)
def test_a_model_of_ids_alone_says_so(client_of_ids, path, side, message):
    body = {"instances": [{"in0": side, "in1": [2]}]}
    reply = client_of_ids.post(body, f"/invocations{path}")
    assert reply.status == 400
    assert reply.json["message"].startswith(message)
    assert path or reply.json["message"].endswith(
        ": this model has no vocabulary, so it takes token ids and not text"
    )
