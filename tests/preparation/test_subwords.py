"""Subword tokenizers: repeatable, within their limits, and spelling what they were trained on."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2v_jax.preparation.subwords import train_subwords

COUNTS = {"low": 5, "lower": 3, "newest": 6, "widest": 3, "é": 1, "1984": 1}
CODE = f"""
from o2v_jax.preparation.subwords import train_subwords
from hashlib import sha256
for name in ("bpe", "wordpiece"):
    print(sha256(train_subwords(name, {COUNTS}, 40).content).hexdigest())
"""
NAMES = ["bpe", "wordpiece"]
WORDS = st.dictionaries(st.text("abé\u65e5#", min_size=1, max_size=6), st.integers(1, 4))


def join(pieces):
    return "".join(piece.removeprefix("##") for piece in pieces)


@pytest.mark.parametrize("name", NAMES)
@given(words=WORDS, size=st.integers(2, 40), min_count=st.integers(1, 3))
def test_limits_are_kept(name, words, size, min_count):
    words = {word: count for word, count in words.items() if "#" not in word or len(word) == 1}
    trained = train_subwords(name, words, size, min_count)
    assert sorted(trained.tokens.values()) == [*range(trained.size)]
    assert trained.size <= size
    assert (trained.tokens["<pad>"], trained.unknown_id) == (0, 1)
    spelt = "".join(word * count for word, count in words.items())
    characters = {t.removeprefix("##") for t in trained.tokens} - {"<pad>", "<unk>", ""}
    assert all(spelt.count(each) >= min_count for each in characters if len(each) == 1)
    for word in words:
        pieces = [*trained.tokens]
        found = [pieces[index] for index in trained.encode_word(word)]
        assert "<unk>" in found or join(found) == word


@pytest.mark.parametrize("name", NAMES)
def test_frequent_words_are_one_token_and_rare_ones_are_split(name):
    trained = train_subwords(name, COUNTS, 26)
    assert trained.split("low newest") == ["low", "newest"]
    assert join(trained.split("lowest")) == "lowest"
    assert len(trained.split("lowest")) > 1


def test_what_was_too_rare_is_unknown():
    assert train_subwords("bpe", COUNTS, 40, 2).split("lowé") == ["low", "<unk>"]
    assert train_subwords("wordpiece", COUNTS, 40, 2).split("lowé low") == ["<unk>", "low"]


def test_a_word_of_many_letters_is_not_learnt():
    assert train_subwords("bpe", {"a" * 101: 9}, 40).tokens == {"<pad>": 0, "<unk>": 1}


@pytest.mark.process
def test_every_process_trains_the_same():
    run = [
        subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True).stdout
        for _ in range(2)
    ]
    assert run[0] == run[1]
    assert len(run[0].split()) == 2
