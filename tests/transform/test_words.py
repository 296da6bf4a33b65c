"""Words in batch transform: texts and lists of tokens, in JSON Lines, documents and Parquet."""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from o2v_jax import Scorer, TextTokenizer, Tokenizer, Vocabulary
from o2v_jax.checkpoint import hash_model
from o2v_jax.transform import Local, Transform, TransformSettings, find_sources

WORDS = Vocabulary({"<pad>": 0, "<unk>": 1, "a": 2, "film": 3})
TEXTS = [("Ann x", "A film!"), ("x ann", "film"), ("Ann", "")]
IDS = [([4, 1], [2, 3, 1]), ([1, 4], [3]), ([4], [])]
TOKENIZERS = (
    Tokenizer("tokens", Vocabulary({"<unk>": 1, "ann": 4})),
    Tokenizer("text", TextTokenizer.word_level(WORDS)),
)
VALUES = tuple(
    Tokenizer("value", Vocabulary({"<unk>": 1, **tokens}))
    for tokens in ({"7": 2, "8": 3}, {"1.5": 2, "2.0": 3})
)
VALUE_IDS = [([2], [2]), ([3], [3])]


@pytest.fixture(scope="module")
def model(config_of, model_of):
    return replace(model_of(config_of(enc0_network="pooled_embedding")), tokenizers=TOKENIZERS)


@pytest.fixture(scope="module")
def scorer(model):
    return Scorer(model, max_programs=16)


@pytest.fixture
def transform(scorer, tmp_path, caplog, monkeypatch):
    """Transforms a file and gives its results, or why there are none."""

    def run(file, *, skip=False, tokenizers=TOKENIZERS):
        caplog.clear()
        monkeypatch.setattr(scorer, "tokenizers", tokenizers)
        sources = find_sources([str(file)], tmp_path / "out")
        done = Transform(
            sources=sources,
            output=tmp_path / "out",
            settings=TransformSettings(),
            engine=Local(scorer, "any"),
            skip=skip,
            resume=False,
        ).run()
        target = tmp_path / "out" / sources[0].target
        return caplog.messages if done.failed else target

    return run


def write_lines(path, pairs):
    lines = [json.dumps({"in0": in0, "in1": in1}) for in0, in1 in pairs]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_texts_get_the_results_of_their_ids(transform, tmp_path):
    expected = transform(write_lines(tmp_path / "ids.jsonl", IDS)).read_bytes()
    assert transform(write_lines(tmp_path / "texts.jsonl", TEXTS)).read_bytes() == expected
    mixed = [(["Ann", "x"], TEXTS[0][1]), (IDS[1][0], TEXTS[1][1]), (TEXTS[2][0], IDS[2][1])]
    assert transform(write_lines(tmp_path / "mixed.jsonl", mixed)).read_bytes() == expected

    instances = [{"in0": in0, "in1": in1} for in0, in1 in TEXTS]
    (tmp_path / "texts.json").write_text(json.dumps({"instances": instances}))
    found = json.loads(transform(tmp_path / "texts.json").read_bytes())["predictions"]
    assert found == [json.loads(line) for line in expected.splitlines()]

    in0, in1 = zip(*TEXTS, strict=True)
    for name, column in (
        ("string", pa.array(in0)),
        ("dictionary", pa.array(in0, pa.large_string()).dictionary_encode()),
        ("lists", pa.array([text.split() for text in in0])),
        ("ids", pa.array([ids for ids, _ in IDS])),
    ):
        pq.write_table(
            pa.table({"in0": column, "in1": pa.array(in1)}), tmp_path / f"{name}.parquet"
        )
        table = pq.read_table(transform(tmp_path / f"{name}.parquet"))
        assert table["in1"].to_pylist() == [*in1]
        scores = [row["scores"] for row in found]
        assert [pytest.approx(row) for row in scores] == table["scores"].to_pylist()


def test_refused_records_are_named_and_others_scored(transform, tmp_path):
    good = transform(write_lines(tmp_path / "good.jsonl", [IDS[0], IDS[2]])).read_bytes()
    bad = [TEXTS[0], ("Ann", ["a"]), TEXTS[2], ("Ann", [99])]
    file = write_lines(tmp_path / "bad.jsonl", bad)
    refused = f"{file}:2 $.in1: must be a text, but it is list ['a']"
    (failed,) = transform(file)
    assert failed == refused
    rows = transform(file, skip=True).read_bytes().splitlines(keepends=True)
    assert b"".join([rows[0], rows[2]]) == good
    assert json.loads(rows[1]) == {"error": refused}
    assert "99 is outside the vocabulary 0..19" in json.loads(rows[3])["error"]

    pq.write_table(pa.table({"in1": [["a"]]}), tmp_path / "list.parquet")
    (failed,) = transform(tmp_path / "list.parquet", skip=True)
    assert "column in1 must hold lists of integers, not list<" in failed
    assert failed.endswith(": this model takes text there")
    columns = {"in0": ["Ann", None], "in1": ["a", "a"]}
    pq.write_table(pa.table(columns), tmp_path / "null.parquet")
    assert transform(tmp_path / "null.parquet") == [
        f"{tmp_path}/null.parquet: row 2 $.in0: is null"
    ]


def test_columns_of_numbers_are_values(transform, tmp_path):
    """As a column of users' numbers is in the table that trained the model."""
    expected = transform(write_lines(tmp_path / "ids.jsonl", VALUE_IDS), tokenizers=VALUES)
    scores = [json.loads(line)["scores"] for line in expected.read_bytes().splitlines()]
    numbers, floats = pa.array([7, 8, None, 9]), pa.array([1.5, 2.0, 2.0, float("nan")])
    pq.write_table(pa.table({"in0": numbers, "in1": floats}), tmp_path / "a.parquet")
    found = pq.read_table(transform(tmp_path / "a.parquet", tokenizers=VALUES, skip=True))
    assert found["scores"].to_pylist()[:2] == [pytest.approx(row) for row in scores]
    nulls = (3, 0), (4, 1)
    refused = [f"{tmp_path}/a.parquet: row {row} $.in{side}: is null" for row, side in nulls]
    assert found["error"].to_pylist() == [None, None, *refused]

    pq.write_table(pa.table({"in0": pa.array([7]).dictionary_encode()}), tmp_path / "b.parquet")
    assert pq.read_table(transform(tmp_path / "b.parquet", tokenizers=VALUES)).num_rows == 1
    (failed,) = transform(tmp_path / "b.parquet")
    assert failed.endswith(
        "in0 must hold lists of integers, not int64: this model takes tokens there"
    )


def test_a_model_of_ids_says_why_it_takes_no_text(transform, tmp_path):
    reason = "this model has no vocabulary, so it takes token ids and not text"
    file = write_lines(tmp_path / "texts.jsonl", [*IDS[:1], *TEXTS[:1]])
    (failed,) = transform(file, tokenizers=None)
    assert failed.startswith(f"{file}:2 $.in0: expected a list of token ids, got ")
    assert failed.endswith(reason)
    pq.write_table(pa.table({"in0": ["a"]}), tmp_path / "a.parquet")
    assert transform(tmp_path / "a.parquet", tokenizers=None) == [
        f"{tmp_path}/a.parquet: column in0 must hold lists of integers, not string: {reason}"
    ]


def test_results_of_other_tokenizers_are_not_kept(model):
    """A run resumes with a model that reads texts alike, and with no other."""
    others = [
        replace(model, tokenizers=None),
        replace(model, tokenizers=TOKENIZERS[::-1]),
        replace(model, tokenizers=(TOKENIZERS[0], Tokenizer("text", WORDS))),
    ]
    assert len({hash_model(each) for each in [model, *others]}) == 4
    assert hash_model(replace(model)) == hash_model(model)
