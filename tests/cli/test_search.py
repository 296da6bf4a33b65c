"""`o2v index` and `o2v search`: a table in, the best items for each query out."""

import json

import numpy as np
import pytest

import o2v_jax
from o2v_jax import InBatchObjective, Index, Tokenizer, Vocabulary

pytestmark = pytest.mark.slow

FILMS = ["Heat", "Alien", "Up", "Ran"]


@pytest.fixture(scope="module")
def plain(config_of, model_of):
    return model_of(config_of(enc0_network="pooled_embedding", objective=InBatchObjective()))


@pytest.fixture(scope="module")
def model(plain, tmp_path_factory):
    tokenizers = (
        Tokenizer("tokens", Vocabulary({"<unk>": 1, "space": 2, "war": 3})),
        Tokenizer("value", Vocabulary({film: at for at, film in enumerate(FILMS, 4)})),
    )
    model = o2v_jax.Model(plain.config, plain.params, tokenizers=tokenizers)
    return o2v_jax.save(model, tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("items") / "films.csv"
    path.write_text("id,title\n" + "".join(f"tt{at},{film}\n" for at, film in enumerate(FILMS)))
    return path


@pytest.fixture
def index(o2v, model, table, tmp_path):
    options = ["--column", "title", "--key", "id", "--output", tmp_path / "index"]
    done = o2v("index", "--model", model, table, *options)
    assert (done.status, done.out) == (0, ""), done.err
    assert done.err.startswith(f"Index of 4 items (in1), {tmp_path / 'index'}\n")
    assert done.err.endswith("searched whole: finds all\n")
    return tmp_path / "index"


@pytest.fixture
def search(o2v, model, index):
    return lambda *options, stdin=b"": o2v(
        "search", "--model", model, "--index", index, *options, stdin=stdin
    )


def test_one_query_prints_rank_score_and_key(search, model, index):
    done = search("space war", "-k", "3")
    assert done.status == 0, done.err
    (hits,) = Index.load(index, o2v_jax.load(model)).search(["space war"], 3)
    assert done.out.splitlines() == [
        f"{rank}\t{score:.6g}\t{key}"
        for rank, (score, key) in enumerate(zip(hits.scores, hits.keys, strict=True), 1)
    ]


def test_several_queries_are_numbered_and_read_from_files(search, tmp_path):
    given = search("space", "war", "-k", "2", "--exclude", "tt0", "--exclude", "tt1")
    lines = [line.split("\t") for line in given.out.splitlines()]
    assert [line[:2] for line in lines] == [["0", "1"], ["0", "2"], ["1", "1"], ["1", "2"]]
    assert {line[3] for line in lines} == {"tt2", "tt3"}
    (tmp_path / "queries.txt").write_text("space\nwar\n")
    options = ("-k", "2", "--exclude", "tt0", "--exclude", "tt1", "--file")
    assert search(*options, tmp_path / "queries.txt").out == given.out
    ids = b'{"in0": [2]}\n{"in0": "war"}\n'
    assert search(*options, "-", stdin=ids).out == given.out


def test_json_is_an_object_a_query(search):
    plain, done = search("space", "war", "-k", "9"), search("space", "war", "-k", "9", "--json")
    assert [[*row] for row in done.rows] == [["keys", "scores"]] * 2
    lines = [line.split("\t") for line in plain.out.splitlines()]
    assert [key for row in done.rows for key in row["keys"]] == [line[3] for line in lines]
    scores = [score for row in done.rows for score in row["scores"]]
    np.testing.assert_allclose(scores, [float(line[2]) for line in lines], rtol=1e-5)


def test_the_other_side_may_be_indexed_too(o2v, plain, tmp_path):
    model = o2v_jax.save(plain, tmp_path / "model")
    (tmp_path / "a.jsonl").write_text('{"ids": [3, 4]}\n{"ids": [5]}\n')
    options = ["--side", "in0", "--column", "ids", "--output", tmp_path / "index"]
    assert o2v("index", "--model", model, tmp_path / "a.jsonl", *options).status == 0
    done = o2v("search", "--model", model, "--index", tmp_path / "index", "7 8", "--json")
    assert sorted(done.rows[0]["keys"]) == [0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([""], "query 0: is empty, or holds no token that the model knows"),
        (["space", "--exclude", "tt9"], "the index has no key 'tt9'"),
        (["space", "-k", "0"], "Invalid value for '-k': 0 is not in the range x>=1."),
        ([], "give either QUERY or --file"),
        (["space", "--file", "-"], "give either QUERY or --file"),
        (["space", "--format", "text"], "--format is for --file"),
        (["--file", "-"], "standard input:1 $: has no in0, which asks for items of this index"),
    ],
)
def test_a_search_that_cannot_be_is_refused(search, options, message):
    done = search(*options, stdin=b'{"in1": [2]}\n')
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith(f"{message}\n")


def test_another_model_or_folder_is_refused(o2v, plain, model, index, tmp_path):
    other = o2v_jax.save(plain, tmp_path / "other")
    done = o2v("search", "--model", other, "--index", index, "2")
    assert (done.status, done.out) == (2, "")
    assert f"o2v: {index}: is of another model (SHA-256 " in done.err
    done = o2v("search", "--model", model, "--index", tmp_path, "space")
    assert f"{tmp_path}: holds no index.json: an index is a directory" in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--column", "name"], "films.csv: there is no column 'name'; its columns are id, title"),
        (["--column", "title", "--key", "title", "--class-index", "1"], "class_index=1 must be"),
        (["--column", "title", "--queries", "q.csv"], "--queries and --query-column belong"),
        (["--column", "title", "--output", "models"], "holds other things than an index (model)"),
    ],
)
def test_what_cannot_be_indexed_is_refused(o2v, model, table, options, message, tmp_path):
    options = [model.parent if option == "models" else option for option in options]
    given = options if "--output" in options else [*options, "--output", tmp_path / "index"]
    done = o2v("index", "--model", model, table, *given)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert not (tmp_path / "index").exists()


def test_recall_is_measured_with_given_queries(o2v, config_of, model_of, tmp_path):
    pytest.importorskip("usearch", reason="usearch, of the extra `search`, is not installed")
    config = config_of(enc0_network="pooled_embedding", objective=InBatchObjective())
    model = o2v_jax.save(model_of(config), tmp_path / "model")
    lines = [json.dumps({"ids": [2 + at % 18, 2 + at % 7]}) for at in range(100)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    table, output = tmp_path / "a.jsonl", tmp_path / "index"
    queries = ["--queries", table, "--query-column", "ids"]
    options = [table, "--column", "ids", "--output", output, "--approximate", *queries]
    done = o2v("index", "--model", model, *options)
    assert done.status == 0, done.err
    assert "of the first 10 of a full ranking (100 queries: given queries)" in done.err
