"""An index beside the model: how it is named, opened and refused, and a real server of it."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from contract_clients import create_client
from query_servers import make_index, make_scorer, require_hits, require_ranking

import o2v_jax
from o2v_jax import CheckpointError, Index, InputError
from o2v_jax.server.loading import create_service
from o2v_jax.server.settings import ServerSettings
from serving.app import StartError, create_app

ITEMS = [[at % 39 + 1, at // 39] for at in range(60)]


@pytest.fixture(scope="module")
def folder(short_model, tmp_path_factory):
    """An index of the model of short sequences, of the side of queries of others."""
    path = tmp_path_factory.mktemp("indexes") / "short"
    keys = [f"é {number}" for number in range(60)]
    Index.build(o2v_jax.load(short_model), ITEMS, side="in0", keys=keys, class_index=2, output=path)
    return path


def test_a_server_finds_and_ranks(start, short_model, folder):
    """From many connections at once, as the same calls in this process do."""
    model = o2v_jax.load(short_model)
    scorer = o2v_jax.Scorer(model)
    index = Index.load(folder, model, scorer=scorer)
    queries = [[at + 1, 2] for at in range(16)]
    with start("--model", short_model, O2V_INDEX=str(folder)) as server:
        server.wait_until_ready()
        bodies = [
            {"in1": ids, "k": 1 + at, "exclude": [f"é {at}"]} for at, ids in enumerate(queries)
        ]
        with ThreadPoolExecutor(8) as pool:
            replies = [*pool.map(lambda body: post(server, "/search", body), bodies)]
        for body, reply in zip(bodies, replies, strict=True):
            (hits,) = index.search([body["in1"]], body["k"], exclude=body["exclude"])
            require_hits(reply.json, hits)
        assert post(server, "/search", {"in0": [1]}).status == 400
        assert post(server, "/search", {"in1": [1], "k": 0}).status == 400
        many = post(server, "/search", {"instances": [{"in1": [3]}] * 400, "k": 60})
        assert many.headers["transfer-encoding"] == "chunked"
        assert len(many.json["predictions"]) == 400
        reply = post(server, "/rerank", {"in0": [5, 6], "in1": queries, "class_index": 1})
        require_ranking(reply.json, scorer.rank([5, 6], queries, 16, class_index=1))
        metrics = server.request("GET", "/metrics").body.decode()
        assert 'o2v_search_requests_total{code="200"} 17.0' in metrics
        assert server.stop() == 0
        log = server.log.read_text()
        assert f"serving {short_model} and {folder}" in log
        assert "Traceback" not in log


def post(server, path, body):
    return server.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})


def test_an_index_of_another_model_ends_the_start_in_a_line(start, tiny_model, folder):
    with start("--model", tiny_model, "--index", folder) as server:
        assert server.process.wait(60) == 2
        log = server.log.read_text()
        assert f"o2v: {folder}: is of another model" in log
        assert "Traceback" not in log


def test_an_index_is_opened_beside_scorers_or_refused(worded, tmp_path, folder, short_model):
    model, scorer = worded
    path = tmp_path / "index"
    make_index(model, scorer, output=path)
    saved = o2v_jax.save(model, tmp_path / "model")
    client = create_client(
        "flask", saved, scorers=[scorer], settings=ServerSettings(), index=str(path)
    )
    assert isinstance(client.service.index._searcher.vectors, np.memmap)
    assert client.post({"in0": "w3", "k": 2}, "/search").status == 200
    client.close()
    settings = ServerSettings(index=folder)
    with pytest.raises(CheckpointError, match="is of another model"):
        create_service(saved, settings=settings, scorers=[scorer])
    other = Index.load(folder, o2v_jax.load(short_model))
    with pytest.raises(InputError, match="index is of another model"):
        create_service(settings=ServerSettings(), scorers=[scorer], index=other)
    opened = Index.load(path, model, scorer=scorer)
    with pytest.raises(InputError, match="index is of another model"):
        create_service(
            make_scorer(mlp_activation="tanh")[0], settings=ServerSettings(), index=opened
        )


def test_flask_names_what_the_environment_has_wrong(monkeypatch, tiny_model, folder):
    monkeypatch.setenv("O2V_MODEL", str(tiny_model))
    monkeypatch.setenv("O2V_INDEX", str(folder))
    with pytest.raises(StartError, match="is of another model"):
        create_app()
    monkeypatch.setenv("O2V_INDEX", "s3://bucket/index")
    with pytest.raises(StartError, match="s3://bucket/index"):
        create_app()


def test_both_settings_and_a_warmed_index(worded):
    assert ServerSettings.from_environment({"O2V_INDEX": " a/b "}).index.name == "b"
    assert ServerSettings.from_environment({"O2V_INDEX": ""}).index is None
    index = make_index(*make_scorer(mlp_activation="tanh"))
    index.warm()
    assert index._keys._hashes is not None
