"""A Scorer takes words where its model has tokenizers: lists and columns of any library."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import o2v_jax
from o2v_jax import Hyperparameters, InputError, Model, RecordError, Scorer, Vocabulary
from o2v_jax.data.tokenizers import Tokenizer

USERS = Vocabulary({"<unk>": 1, "Ann": 2, "Bob": 3})
WORDS = Vocabulary({"<unk>": 1, "a": 2, "film": 3})


@pytest.fixture(scope="module")
def model():
    config = Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_vocab_size=4,
        enc0_max_seq_len=4,
        enc1_network="pooled_embedding",
        enc1_vocab_size=4,
        enc1_max_seq_len=4,
        enc_dim=8,
        mlp_dim=4,
    )
    tokenizers = Tokenizer("value", USERS), Tokenizer("tokens", WORDS)
    return Model(config, o2v_jax.init(config), tokenizers)


@pytest.fixture(scope="module")
def scorer(model):
    return Scorer(model)


@pytest.mark.parametrize(
    "column",
    [
        list,
        tuple,
        np.array,
        pa.array,
        lambda texts: pa.chunked_array([texts[:1], texts[1:]]),
        lambda texts: pa.array(texts).dictionary_encode(),
    ],
)
def test_columns_of_words_are_their_ids(scorer, column):
    users, films = ["Ann", "Bob", "Cleo"], ["a film", "film a", "x"]
    found = scorer.score(column(users), column(films))
    expected = scorer.score([[2], [3], [1]], [[2, 3], [3, 2], [1]])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        scorer.embed(in1=column(films)), scorer.embed(in1=[[2, 3], [3, 2], [1]])
    )


def test_words_beside_ids_and_lists_of_tokens(scorer):
    found = scorer.score(["Ann", "Bob"], [[2, 3], [3]])
    np.testing.assert_array_equal(found, scorer.score([[2], [3]], [["a", "film"], ["film"]]))
    np.testing.assert_array_equal(found, scorer.score([[2], [3]], [["A", "film"], "film"]))


def test_a_query_in_words_ranks_candidates_in_words(scorer):
    films = ["a film", "film", "x y", "a"]
    ids = [[2, 3], [3], [1, 1], [2]]
    expected = scorer.rank([2], ids, 4)
    for query, candidates in (("Ann", films), ("Ann", ids), ([2], films)):
        found = scorer.rank(query, candidates, 4)
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_array_equal(found.scores, expected.scores)
    encodings = scorer.embed(in1=films)
    np.testing.assert_array_equal(scorer.rank("Ann", encodings, 4).indices, expected.indices)
    back = scorer.rank("a film", ["Ann", "Bob"], 2, query_side=1)
    np.testing.assert_array_equal(
        back.indices, scorer.rank([2, 3], [[2], [3]], 2, query_side=1).indices
    )


def test_what_is_no_value_is_named(scorer):
    with pytest.raises(RecordError, match=r"record 1: in0: must be one value, a text, but it is"):
        scorer.score(["Ann", None], ["a", "film"])
    with pytest.raises(InputError, match="in0 has 1 records and in1 has 2"):
        scorer.score(["Ann"], ["a", "film"])


def test_a_model_of_ids_alone_says_so(model):
    bare = Scorer(replace(model, tokenizers=None))
    with pytest.raises(InputError, match="in1: this model has no vocabulary, so it takes token"):
        bare.score([[2]], ["a film"])
    with pytest.raises(InputError, match="in0: this model has no vocabulary"):
        bare.rank("Ann", [[2]], 1)
