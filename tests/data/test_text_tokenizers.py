"""Tokenizers of the `tokenizers` library: what they refuse, and that they answer alike anywhere."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from text_tokenizer_files import make_byte_level, make_unigram
from tokenizers import Tokenizer as Library

from o2v_jax import InputError, TextTokenizer, Vocabulary
from o2v_jax.data import ascii_words, text_tokenizers
from o2v_jax.data.text_tokenizers import read_token_ids, read_vocabulary, split_words
from o2v_jax.data.tokenizers import Tokenizer
from o2v_jax.errors import MissingExtraError

WORDS = Vocabulary({"<pad>": 0, "<unk>": 1, "a": 2, "man": 3, "é": 5})
WORD = TextTokenizer.word_level(WORDS)


def change(**changes):
    """The file of `WORD` with other values; those of `model` are changed within it."""
    document = json.loads(WORD.content)
    document["model"] |= changes.pop("model", {})
    return json.dumps(document | changes).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "t.json is not valid JSON: Expecting value: line 1 column 1"),
        (b"[]", "t.json must hold a JSON object, but it holds a list"),
        (b"{}", "t.json: model.type must be one of WordLevel, BPE, WordPiece, Unigram, got None"),
        (change(model={"type": "Magic"}), "got 'Magic'"),
        (change(model={"vocab": {"<unk>": 1.5}}), "token '<unk>' must have an id from 0 on, got 1"),
        (change(model={"vocab": [1]}), "model.vocab or added_tokens is not what the library"),
        (change(added_tokens=[{}]), "model.vocab or added_tokens is not what the library"),
        (change(model={"vocab": {"a": 0, "<unk>": 1}}), "token 'a' has id 0, but 0 is padding"),
        (change(model={"unk_token": "x"}), "the unknown token 'x' is not in its vocabulary"),
        (change(model={"vocab": [[1, 0.0]]}), "token 1 is not a string"),
        (
            change(
                model={"type": "BPE", "continuing_subword_prefix": "##", "merges": [["a", "b"]]}
            ),
            "merge ['a', 'b'] lacks the prefix '##'",
        ),
        (change(model={"dropout": 0.1}), "model.dropout is 0.1, so ids would vary"),
        (change(pre_tokenizer={"type": "Magic"}), "t.json: is not a tokenizer of the tokenizers"),
    ],
)
def test_a_wrong_file_is_refused(content, message):
    with pytest.raises(InputError) as caught:
        TextTokenizer(content, "t.json")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A man isn't sleeping.", ["a", "man", "isn", "'", "t", "sleeping", "."]),
        ("<pad> ?! \u2167\u00a0\ufb01x", ["<", "pad", ">", "?", "!", "viii", "fix"]),
        ("\u65e5\u672c a\u200bb E\u0301", ["\u65e5", "\u672c", "ab", "é"]),
        (" \x00\n", []),
    ],
)
def test_words(text, words):
    assert split_words(text) == words
    assert WORD.split(text) == words
    assert WORD.decode([3, 7, 0]) == ["man", "<7>", "<pad>"]
    assert WORD.encode(text) == [WORDS.tokens.get(word, 1) for word in words]


def test_case_is_kept_if_asked():
    kept = TextTokenizer.word_level(Vocabulary({"<unk>": 1, "A": 2}, lowercase=False))
    assert kept.encode("A a") == [2, 1]
    assert split_words("A a", lowercase=False) == ["A", "a"]


def test_a_tokenizer_of_others_is_applied_without_its_special_tokens_and_bounds():
    bytes_, unigram = make_byte_level(), make_unigram()
    assert bytes_.split("man[SEP] \n") == ["man", "[SEP]", "\u0120", "\u010a"]
    assert bytes_.unknown_id is None
    assert unigram.split("a man x") == ["\u2581", "a", "\u2581", "man", "\u2581", "<unk>"]
    assert unigram.unknown_id == 1
    assert [bytes_.algorithm, unigram.algorithm] == ["bpe", "unigram"]


@pytest.mark.parametrize("values", [["a", "\ud800", "b"], ["a", 5, "b"]])
def test_what_is_no_text_is_refused_at_its_place(values):
    tokenizer, found = Tokenizer("text", WORD), []
    with pytest.raises(InputError, match=r"holds half of a surrogate|must be a text, but it is 5"):
        found.extend(tokenizer.encode_each(values))
    assert found == [[2]]
    with pytest.raises(InputError, match="holds half of a surrogate pair"):
        split_words("\ud800")


def test_threads_and_copies_get_the_same_ids():
    texts = ["a man", "é a x", ""] * 400
    expected = [[2, 3], [5, 2, 1], []] * 400
    copy = pickle.loads(pickle.dumps(WORD))
    assert copy == WORD
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda one: list(one.encode_each(texts)), [WORD, copy] * 4)
    assert all(ids == expected for ids in found)


def test_token_ids_of_either_file(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(WORD.content)
    WORDS.write(tmp_path / "vocab.json")
    assert read_vocabulary(tmp_path / "tokenizer.json") == WORD
    assert read_vocabulary(tmp_path / "vocab.json") == WORDS
    for name in ("tokenizer.json", "vocab.json"):
        assert read_token_ids(tmp_path / name) == WORDS.tokens
    with pytest.raises(InputError, match=r"no\.json"):
        read_vocabulary(tmp_path / "no.json")


def test_it_prints_in_a_line():
    assert repr(Tokenizer("text", WORD)) == (
        "Tokenizer(kind='text', vocabulary=TextTokenizer(word, 5 tokens), whole_numbers=False)"
    )


def test_without_the_library_its_tokens_are_known_but_no_text_is_split(monkeypatch):
    monkeypatch.setattr(text_tokenizers, "find_spec", lambda _: None)
    monkeypatch.setattr("o2v_jax.extras.find_spec", lambda _: None)
    bare = TextTokenizer(WORD.content)
    assert (bare.size, bare.unknown_id) == (6, 1)
    with pytest.raises(
        MissingExtraError,
        match=r"splitting a text into tokens needs tokenizers: .*"
        r"\[text\]",
    ):
        bare.encode("a man")


@given(st.text(st.characters(max_codepoint=127)))
@example("A man isn't <unk> at 3.5% [x] ~a_b\t^`")
def test_ascii_text_gets_the_librarys_ids(text):
    """Printable ASCII text has a way of its own."""
    words = {word: at for at, word in enumerate(["<unk>", "a", "man", "isn", "'", "3", "_"], 1)}
    tokenizer = TextTokenizer.word_level(Vocabulary(words))
    library = Library.from_str(tokenizer.content.decode())
    assert tokenizer.encode(text) == library.encode(text, add_special_tokens=False).ids
    assert [*tokenizer.encode_each([text, "é", text])][0::2] == [tokenizer.encode(text)] * 2
    together = tokenizer.encode_plain([text, "a", "", text])
    assert (together is None) == (not text.isprintable())
    assert together is None or together.to_lists() == [
        *tokenizer.encode_each([text, "a", "", text])
    ]


def test_long_ascii_texts_are_not_joined(monkeypatch):
    texts = ["a man's", "", "a man sleeps " * 3]
    expected = WORD.encode_plain(texts).to_lists()
    monkeypatch.setattr(ascii_words, "_JOINED", 10)
    assert WORD.encode_plain(texts).to_lists() == expected == [WORD.encode(text) for text in texts]


def test_the_way_of_ascii_text_is_for_our_own_splitting_alone():
    document = json.loads(TextTokenizer.word_level(WORDS).content)
    document["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    other = TextTokenizer(json.dumps(document).encode())
    library = Library.from_str(other.content.decode())
    text = "a man's a man."
    assert other.encode(text) == library.encode(text, add_special_tokens=False).ids
    assert other.encode_plain([text]) is None
