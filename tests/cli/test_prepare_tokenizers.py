"""Tokenizers of `o2v prepare`: what is written, the same again, and that models answer by it."""

import json
import os
from dataclasses import replace

import pytest

import o2v_jax
from o2v_jax import TextTokenizer, Tokenizer, Vocabulary
from o2v_jax.data import DecodeOptions, Format, decode
from o2v_jax.data.text_tokenizers import split_words
from o2v_jax.preparation import read_prepared

PAIRS = ("--in0", "one", "--in1", "two")
TEXTS = ["A man isn't sleeping.", "\uff2eobody \ufb01nds?!", "Two\tdogs play", "Überraschung 42"]


@pytest.fixture
def pairs(tmp_path):
    """Every text of one column, with the next of the other."""
    rows = [{"one": text, "two": TEXTS[at - 1]} for at, text in enumerate(TEXTS)] * 3
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "pairs.jsonl"


@pytest.fixture
def ran(o2v, tmp_path):
    """Runs `o2v prepare ARGUMENTS --output tmp_path/NAME` and gives that directory."""

    def run(*arguments, name="out"):
        result = o2v("prepare", *arguments, *PAIRS, "--output", tmp_path / name)
        assert result.status == 0, result.err
        return tmp_path / name

    return run


def ids_of(folder):
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


def test_texts_are_split_into_words_by_default(ran, pairs, monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    out = ran(pairs, "--shared-vocabulary")
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"  # no threads, no words about forks
    assert (out / "tokenizer.json").exists()
    assert not (out / "vocab.json").exists()
    assert json.loads((out / "inputs.json").read_text())["in1"] == {
        "kind": "text",
        "vocabulary": "tokenizer.json",
        "tokenizer": "word",
    }
    in0, in1 = read_prepared(out).tokenizers
    assert in0.vocabulary is in1.vocabulary
    assert [record["in0"] for record in ids_of(out)[:4]] == [*map(in0.encode, TEXTS)]
    assert set(in0.vocabulary.tokens) == {
        "<pad>",
        "<unk>",
        *(word for text in TEXTS for word in split_words(text)),
    }
    same = ("--shared-vocabulary", "--vocabulary", out / "tokenizer.json")
    again = ran(pairs, *same, name="again")
    assert (again / "tokenizer.json").read_bytes() == (out / "tokenizer.json").read_bytes()
    assert ids_of(again) == ids_of(out)


@pytest.mark.parametrize("name", ["bpe", "wordpiece"])
def test_subwords_are_trained_alike_each_time(ran, pairs, name):
    options = ("--in0-tokenizer", name, "--vocab-size", 40, "--in1-vocab-size", 20)
    one, two = (ran(pairs, *options, name=folder) for folder in ("one", "two"))
    for file in ("tokenizer0.json", "tokenizer1.json", "train.jsonl", "inputs.json"):
        assert (one / file).read_bytes() == (two / file).read_bytes()
    in0, in1 = read_prepared(one).tokenizers
    assert [in0.algorithm, in1.algorithm] == [name, name]
    assert (in0.size, in1.size) == (40, 20)
    for record, text, other in zip(ids_of(one), TEXTS, TEXTS[-1:] + TEXTS[:-1], strict=False):
        assert record["in0"] == in0.encode(text)
        assert record["in1"] == in1.encode(other)
    settings = json.loads((one / "hyperparameters.json").read_text())
    assert (settings["enc0_vocab_size"], settings["enc1_vocab_size"]) == ("40", "20")


def test_words_beside_other_kinds(ran, pairs):
    shared = ran(pairs, "--shared-vocabulary", "--in1-type", "tokens", name="shared")
    in0, in1 = read_prepared(shared).tokenizers
    assert isinstance(in1.vocabulary, Vocabulary)
    assert in0.vocabulary.tokens == in1.vocabulary.tokens
    two = ran(pairs, "--in0-tokenizer", "bpe", "--in1-tokenizer", "treebank", name="two")
    assert {path.name for path in two.glob("*[0-9].json")} == {"tokenizer0.json", "vocab1.json"}
    valued = ran(pairs, "--in0-tokenizer", "bpe", "--in1-type", "value", name="valued")
    assert [each.algorithm for each in read_prepared(valued).tokenizers] == ["bpe", None]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--in0-type", "value", "--in0-tokenizer", "bpe"),
            "in0 holds value, but a tokenizer is for text",
        ),
        (
            ("--in1-type", "ids", "--in1-tokenizer", "word"),
            "in1 holds ids, but a tokenizer is for text",
        ),
        (
            ("--shared-vocabulary", "--in0-tokenizer", "bpe", "--in1-tokenizer", "word"),
            "subwords can be shared only by two columns of text with the same tokenizer",
        ),
        (
            ("--shared-vocabulary", "--in0-tokenizer", "bpe", "--in1-type", "tokens"),
            "subwords can be shared only by two columns of text with the same tokenizer",
        ),
        (
            ("--shared-vocabulary", "--vocabulary", "{map}"),
            "map.json: has no '<unk>', which the word tokenizer needs: add it, or choose treebank",
        ),
        (
            ("--shared-vocabulary", "--vocabulary", "{map}", "--in0-tokenizer", "bpe"),
            "map.json: holds only tokens, but bpe needs a tokenizer.json",
        ),
        (
            ("--shared-vocabulary", "--vocabulary", "{word}", "--in0-tokenizer", "bpe"),
            'word.json: holds a tokenizer "word", not bpe',
        ),
        (
            ("--shared-vocabulary", "--vocabulary", "{word}", "--in1-tokenizer", "treebank"),
            'word.json: holds a tokenizer "word", not treebank',
        ),
        (
            ("--shared-vocabulary", "--vocabulary", "{word}", "--in1-type", "tokens"),
            "word.json: a tokenizer splits texts, not tokens",
        ),
        (("--vocabulary", "{word}", "--vocab-size", "9"), "a vocabulary is used as it is"),
    ],
)
def test_what_contradicts_is_refused(o2v, pairs, tmp_path, options, message):
    Vocabulary({"a": 3}).write(tmp_path / "map.json")
    word = TextTokenizer.word_level(Vocabulary({"<unk>": 1}))
    (tmp_path / "word.json").write_bytes(word.content)
    files = {name: tmp_path / f"{name}.json" for name in ("map", "word")}
    options = [option.format(**files) for option in options]
    refused = o2v("prepare", pairs, *PAIRS, *options, "--output", tmp_path / "out")
    assert refused.status == 2
    assert message in refused.err
    assert not (tmp_path / "out").exists()


def test_a_model_answers_texts_as_its_preparation_did(
    o2v, ran, pairs, tmp_path, config_of, model_of
):
    """Through its directory and archive, on the command line, over HTTP and in Python."""
    out = ran(pairs, "--in0-tokenizer", "bpe", "--in1-tokenizer", "word")
    record = ids_of(out)[0]
    prepared = read_prepared(out)
    sizes = {f"enc{side}_vocab_size": prepared.tokenizers[side].size for side in (0, 1)}
    networks = {f"enc{side}_network": "pooled_embedding" for side in (0, 1)}
    model = model_of(config_of(**sizes, **networks, enc0_max_seq_len=40, enc1_max_seq_len=40))
    o2v_jax.save(replace(model, tokenizers=prepared.tokenizers), tmp_path / "model")
    o2v_jax.pack(tmp_path / "model", tmp_path / "model.tar.gz")
    loaded = o2v_jax.load(tmp_path / "model.tar.gz")
    assert loaded.tokenizers == prepared.tokenizers
    assert "takes in0 text (bpe), in1 text (word)" in repr(loaded)

    texts = TEXTS[0], TEXTS[-1]
    (tmp_path / "ids.jsonl").write_text(json.dumps(record))
    (tmp_path / "texts.jsonl").write_text(json.dumps(dict(zip(("in0", "in1"), texts, strict=True))))
    command = ("score", "--model", tmp_path / "model")
    by_ids = o2v(*command, tmp_path / "ids.jsonl")
    assert by_ids.status == 0, by_ids.err
    assert o2v(*command, "--text", *texts).rows == by_ids.rows
    assert o2v(*command, tmp_path / "texts.jsonl").rows == by_ids.rows
    scores = o2v_jax.Scorer(loaded).score([texts[0]], [texts[1]])[0]
    assert scores.tolist() == pytest.approx(by_ids.rows[0]["scores"])

    body = json.dumps({"instances": [{"in0": texts[0], "in1": texts[1]}] * 3}).encode()
    decoded = decode(body, Format.JSON, DecodeOptions(tokenizers=loaded.tokenizers))
    assert decoded.in0.row(2).tolist() == record["in0"]
    assert decoded.in1.row(2).tolist() == record["in1"]

    shown = o2v("inspect", "--model", tmp_path / "model").out
    assert f"in0: text by the tokenizer bpe, {prepared.tokenizers[0].size} in its" in shown
    (tmp_path / "model" / "tokenizer1.json").unlink()
    damaged = o2v(*command, "--text", *texts)
    assert damaged.status == 2
    assert "tokenizer1.json is missing" in damaged.err


def test_unknown_words_are_counted_and_refused_texts_named():
    word = TextTokenizer.word_level(Vocabulary({"<pad>": 0, "<unk>": 1, "a": 2, "man": 3}))
    users = Tokenizer("value", Vocabulary({"<unk>": 1, "Ann": 2}))
    options = DecodeOptions(tokenizers=(users, Tokenizer("text", word)))
    lines = ['{"in0": "Ann", "in1": "A man x y"}', '{"in0": [2], "in1": "z"}', '{"in1": [7]}']
    records = decode("\n".join(lines[:2]).encode(), Format.JSON_LINES, options)
    assert records.unknown == (0, 3)
    assert [records.in1.row(at).tolist() for at in (0, 1)] == [[2, 3, 1, 1], [1]]
    wrong = "\n".join([*lines[:2], '{"in0": "Ann", "in1": ["a"]}', lines[0]]).encode()
    with pytest.raises(o2v_jax.RecordError, match=r"line 3 \$\.in1: must be a text, but it is"):
        decode(wrong, Format.JSON_LINES, options)
