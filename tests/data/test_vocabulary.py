"""Vocabularies: what they refuse, and that text is split one way everywhere."""

import json
import subprocess
import sys

import pytest

from o2v_jax.data.vocabulary import Vocabulary, tokenize
from o2v_jax.errors import InputError

WORDS = Vocabulary({"<pad>": 0, "<unk>": 1, "a": 2, "man": 3, '"': 4})


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ({"a": 0}, "token 'a' has id 0, but ids begin at 1"),
        ({"a": -3}, "token 'a' has id -3"),
        ({"a": 1.0}, "token 'a' must have an integer id, but it has 1.0"),
        ({"a": True}, "token 'a' must have an integer id, but it has True"),
        ({"a": "1"}, "token 'a' must have an integer id, but it has '1'"),
        ({"a": 7, "b": 7}, "tokens 'a' and 'b' both have id 7"),
        ({"a": 1, "\ud800": 2}, r"token '\\ud800' holds half of a surrogate pair"),
        ({str(n): -1 for n in range(9)}, "and 4 more tokens like these"),
    ],
)
def test_wrong_ids_are_refused_with_their_token(tokens, message):
    with pytest.raises(InputError, match=message):
        Vocabulary(tokens)


def test_every_wrong_token_is_named_at_once():
    with pytest.raises(InputError, match=r"'a'.*'b'.*'c' and 'd'"):
        Vocabulary({"a": 0, "b": None, "c": 5, "d": 5})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1]", "vocab.json must hold a JSON object, but it holds a list"),
        (b'{"a": 1,\n "b"}', "vocab.json is not valid JSON: .*line 2 column 5"),
        (b'{"a": 1, "a": 2}', "vocab.json is not valid JSON: it names 'a' twice"),
        (b'{"\xff": 1}', "vocab.json is not valid JSON"),
        (b"[" * 100_000, "vocab.json is not valid JSON"),
        (b'{"a": ' + b"1" * 9999 + b"}", "vocab.json is not valid JSON"),
        (b'{"a": -1}', "vocab.json: token 'a' has id -1"),
    ],
)
def test_wrong_files_are_refused(tmp_path, content, message):
    (tmp_path / "vocab.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        Vocabulary.read(tmp_path / "vocab.json")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no\.json cannot be read: No such file"):
        Vocabulary.read(tmp_path / "no.json")


def test_it_is_a_plain_json_map_that_comes_back_in_order(tmp_path):
    WORDS.write(tmp_path / "vocab.json")
    assert json.loads((tmp_path / "vocab.json").read_bytes()) == WORDS.tokens
    assert list(Vocabulary.read(tmp_path / "vocab.json").tokens) == list(WORDS.tokens)


def test_unknown_words_get_the_unknown_id_or_are_dropped():
    assert WORDS.encode("A man eats") == [2, 3, 1]
    assert Vocabulary({"a": 2, "man": 3}).encode("A man eats") == [2, 3]


def test_case_matters_only_if_asked():
    assert Vocabulary({"A": 5, "a": 6}, lowercase=False).encode("A a") == [5, 6]
    assert Vocabulary({"A": 5, "a": 6}).encode("A a") == [6, 6]


def test_empty_text_has_no_ids():
    assert WORDS.encode("") == WORDS.encode(" \n") == []


def test_size_is_the_least_vocab_size_that_will_do():
    assert (WORDS.size, Vocabulary({}).size) == (5, 1)


@pytest.mark.parametrize(
    "text",
    [
        "A man is n't sleeping .",
        "Two dogs ( one brown ) play in the Smiths ' garden ; they ca n't stop .",
        'He said : " I \'m gon na win $ 5,000 , U.S. money ! "',
        "It can not be ... or can it ?",
    ],
)
def test_text_already_split_comes_out_unchanged(text):
    assert tokenize(text, lowercase=False) == text.split(" ")


@pytest.mark.parametrize(
    "text", ['He said "hi" twice.', "He said `` hi '' twice .", "He said '' hi '' twice ."]
)
def test_quotation_marks_are_one_token_however_they_are_written(text):
    assert tokenize(text) == ["he", "said", '"', "hi", '"', "twice", "."]
    built = Vocabulary.build([["``", "hi", "''"]], 9)
    assert built.encode(text).count(built.tokens['"']) == 2


def test_build_keeps_the_most_frequent_in_an_order_that_does_not_depend_on_the_texts():
    texts = [["b", "a", "A", "c"], ["d", "c", "<unk>", "<pad>"]]
    expected = {"<pad>": 0, "<unk>": 1, "a": 2, "c": 3, "b": 4}
    assert Vocabulary.build(texts, 5).tokens == expected
    assert Vocabulary.build(texts[::-1], 5).tokens == expected
    assert Vocabulary.build(texts, 99, lowercase=False).size == 7


def test_build_refuses_a_size_without_room():
    with pytest.raises(InputError, match="size=1 must be an integer of at least 2"):
        Vocabulary.build([], 1)


def test_what_was_built_encodes_what_it_was_built_of():
    texts = ["A man isn't sleeping.", 'Nobody said "awake".']
    built = Vocabulary.build(map(tokenize, texts), 99)
    assert not any(built.tokens["<unk>"] in built.encode(text) for text in texts)


@pytest.mark.process
@pytest.mark.parametrize("module", ["o2v_jax.data.vocabulary", "o2v_jax.checkpoint"])
def test_importing_is_cheap(module):
    heavy = {"nltk", "tokenizers", "jax", "flax", "flask"}
    code = f"import sys, {module}; print({heavy!r} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert result.stdout.strip() == b"set()"
