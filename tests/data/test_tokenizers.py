"""Raw values to token ids: the same through a table's column and through a model's tokenizer."""

import json

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from text_tokenizer_files import make_byte_level, make_unigram

from o2v_jax import InputError, Vocabulary
from o2v_jax.checkpoint import compose_inputs, parse_inputs, read_tokenizers
from o2v_jax.data.text_tokenizers import TextTokenizer, split_words
from o2v_jax.data.tokenizers import KINDS, LARGEST_ID, Tokenizer
from o2v_jax.preparation import ALGORITHMS, Side
from o2v_jax.preparation.cells import Words, encode
from o2v_jax.preparation.settings import Numbering, make_tokenizer

WORDS = Vocabulary({"<pad>": 0, "<unk>": 1, "a": 2, "man": 3, "1": 4, "``": 5, '"': 6})
# what tables hold: words, names, numbers in every spelling, quotation marks, blanks, anything
CELLS = st.one_of(
    st.sampled_from(["1", "1.0", "1.5", "1e+15", "A man", "man  a", "``man''", "isn't", "É"]),
    st.text(max_size=12).filter(lambda text: text.strip()),
)
ID_CELLS = st.lists(st.integers(0, LARGEST_ID), min_size=1).map(lambda ids: " ".join(map(str, ids)))


GIVEN = [make_byte_level(), make_unigram(), TextTokenizer.word_level(WORDS)]
# every kind, of texts with every tokenizer
FORMS = [("text", name) for name in ALGORITHMS] + [(k, None) for k in KINDS if k != "text"]


def prepare_cells(side, cells, *, integers, given_vocabulary=None):
    """The ids that `o2v prepare` writes for a column, and the tokenizer that it leaves."""
    words = Words()
    split = side.choose_split(given_vocabulary)
    rows, faults = encode(side.kind, pa.array(cells), words, split)
    assert not faults
    if side.kind == "ids":
        return [rows.row(at).tolist() for at in range(len(cells))], make_tokenizer(side, None)
    words.count(rows.ids)
    numbering = Numbering.of(words, side, given_vocabulary, integers=integers)
    ids, _ = numbering.apply(rows)
    return [ids.row(at).tolist() for at in range(len(cells))], make_tokenizer(side, numbering)


def holds_something(side, cell):
    """Control characters alone are no words, so that such a cell is empty."""
    return side.kind != "text" or side.tokenizer == "treebank" or bool(split_words(cell))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), FORMS)
@given(data=st.data())
def test_a_column_and_a_tokenizer_give_the_same_ids(kind, name, data):
    integers = kind == "value" and data.draw(st.booleans())
    choices = [None, WORDS] if name in (None, "word", "treebank") else [None]
    vocabulary = data.draw(st.sampled_from(choices)) if kind != "ids" else None
    size = data.draw(st.sampled_from([2, 5, 100]))
    side = Side("x", kind, vocab_size=size, tokenizer=name, min_count=data.draw(st.integers(1, 2)))
    cells = data.draw(st.lists(ID_CELLS if kind == "ids" else CELLS, min_size=1, max_size=20))
    cells = [cell for cell in cells if holds_something(side, cell)]
    assume(cells)
    expected, tokenizer = prepare_cells(side, cells, integers=integers, given_vocabulary=vocabulary)
    assert [*map(tokenizer.encode, cells)] == expected
    assert [*tokenizer.encode_each(cells)] == expected
    assert vocabulary or tokenizer.size <= size
    described, files = compose_inputs((tokenizer, tokenizer))
    again = read_tokenizers(parse_inputs(json.loads(json.dumps(described))), files.__getitem__)
    assert again == (tokenizer, tokenizer)
    assert [*map(again[0].encode, cells)] == expected
    if kind == "text":
        assert tokenizer.algorithm == name
        assert [tokenizer.look_up(tokenizer.split(cell)) for cell in cells] == expected


@given(st.lists(CELLS, min_size=1, max_size=9), st.sampled_from(GIVEN))
def test_a_given_tokenizer_reads_a_column_as_it_reads_texts(cells, given_tokenizer):
    """Also one that others made, with special tokens and without unknown ones."""
    cells = [cell for cell in cells if given_tokenizer.encode(cell)]
    assume(cells)
    expected, tokenizer = prepare_cells(
        Side("x"), cells, integers=False, given_vocabulary=given_tokenizer
    )
    assert expected == [*map(given_tokenizer.encode, cells)]
    assert tokenizer == Tokenizer("text", given_tokenizer)


@given(st.lists(st.text(max_size=9).filter(lambda t: t.strip() and " " not in t), min_size=1))
def test_a_list_of_tokens_is_a_cell_with_a_list(tokens):
    words = Words()
    rows, _ = encode("tokens", pa.array([tokens]), words)
    numbering = Numbering.of(words, Side("x", "tokens"), WORDS)
    expected = numbering.apply(rows)[0].ids.tolist()
    assert Tokenizer("tokens", WORDS).encode(tokens) == expected


@pytest.mark.parametrize(
    ("kind", "value", "ids"),
    [
        ("text", "A man isn't", [2, 3, 1, 1]),
        ("tokens", "A MAN isn't", [2, 3, 1]),
        ("tokens", ["A", "a man"], [2, 1]),
        ("value", "a", [2]),
        ("value", "A", [1]),
        ("value", 1, [4]),
        ("value", "1.0", [1]),
        ("value", " ", []),
        ("ids", "3 1.0", [3, 1]),
        ("ids", [3, 0], [3, 0]),
        ("ids", "", []),
    ],
)
def test_ids_of_a_value(kind, value, ids):
    tokenizer = Tokenizer(kind) if kind == "ids" else Tokenizer(kind, WORDS)
    assert tokenizer.encode(value) == ids


def test_whole_numbers_are_values_that_became_floats():
    tokenizer = Tokenizer("value", WORDS, whole_numbers=True)
    assert tokenizer.encode("1.0") == [4]
    assert tokenizer.encode("1.5") == [1]
    assert tokenizer.knows("1.0")
    assert not tokenizer.knows("1.5")


def test_without_unk_what_is_unknown_is_dropped():
    tokenizer = Tokenizer("tokens", Vocabulary({"a": 3}))
    assert tokenizer.encode("a b a") == [3, 3]
    assert tokenizer.unknown_id is None
    assert Tokenizer("tokens", WORDS).unknown_id == 1


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("text", ["a"], "must be a text, but it is list ['a']"),
        ("text", 1, "must be a text, but it is 1"),
        ("tokens", [1], "must be tokens, a text or a list of texts, but it is list [1]"),
        ("tokens", None, "must be tokens, a text or a list of texts, but it is None"),
        ("value", ["a"], "must be one value, a text, but it is list ['a']"),
        ("value", [1], "must be one value, a text, but it is list [1]"),
        ("ids", "1 x", "'x' is not a token id, an integer in 0..2999999"),
        ("ids", "[1, 2]", "'[1,' is not a token id"),
        ("ids", [1, -1], "-1 is not a token id"),
        ("ids", [True], "True is not a token id"),
        ("ids", 5, "must be token ids, a text or a list, but it is 5"),
    ],
)
def test_a_wrong_value_is_refused(kind, value, message):
    tokenizer = Tokenizer(kind) if kind == "ids" else Tokenizer(kind, WORDS)
    with pytest.raises(InputError) as caught:
        tokenizer.encode(value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("image", WORDS), "kind='image' must be one of text, tokens, value, ids"),
        (("ids", WORDS), "a tokenizer of ids has no vocabulary"),
        (("text", None), "vocabulary=None must be a Vocabulary or TextTokenizer"),
        (("tokens", GIVEN[0]), "must be a Vocabulary"),
        (("text", WORDS, True), "whole_numbers is for values alone, not for text"),
    ],
)
def test_a_wrong_tokenizer_is_refused(arguments, message):
    with pytest.raises(InputError) as caught:
        Tokenizer(*arguments)
    assert message in str(caught.value)
