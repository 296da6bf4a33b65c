"""Searching an index: keys, what is left out, and what is refused."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest

import o2v_jax
from o2v_jax import Index, InputError, RecordError, Tokenizer, Vocabulary

NAMES = [f"item {number}" for number in range(20)]


@pytest.fixture(scope="module")
def items(encodings):
    return encodings(20)


@pytest.fixture(scope="module")
def queries(encodings):
    return encodings(3, seed=1)


@pytest.fixture(scope="module")
def index(model, scorer, items):
    return Index.build(model, items, keys=NAMES, scorer=scorer)


@pytest.fixture(scope="module")
def numbered(model, scorer, items):
    return Index.build(model, items, keys=np.arange(100, 120), scorer=scorer)


def test_it_finds_keys_scores_and_positions(index, queries):
    assert len(index) == 20
    for hits in index.search(queries, 4):
        assert hits.keys == [NAMES[at] for at in hits.positions]
        assert hits.scores.dtype == np.float32
        assert (np.diff(hits.scores) <= 0).all()


def test_of_equal_items_the_earlier_comes_first(model, scorer, items, queries):
    found = Index.build(model, np.repeat(items[:3], 4, axis=0), scorer=scorer).search(queries, 12)
    assert all(np.diff(hits.positions.reshape(3, 4), axis=1).min() == 1 for hits in found)


def test_a_k_beyond_the_items_finds_all(index, queries):
    assert [sorted(hits.keys) for hits in index.search(queries, 99)] == [sorted(NAMES)] * 3


def test_what_is_left_out_makes_room(index, queries):
    ranked = [hits.keys for hits in index.search(queries, 20)]
    for_all = [hits.keys for hits in index.search(queries, 5, exclude=NAMES[:4])]
    assert for_all == [[key for key in keys if key not in NAMES[:4]][:5] for keys in ranked]
    each = [ranked[0][:2], [], ranked[2][::2]]
    by_query = [hits.keys for hits in index.search(queries, 20, exclude=each)]
    assert by_query == [
        [k for k in keys if k not in out] for keys, out in zip(ranked, each, strict=True)
    ]
    assert [len(hits.keys) for hits in index.search(queries, 5, exclude=NAMES)] == [0, 0, 0]


def test_keys_may_be_integers(numbered, queries):
    (hits, *_) = numbered.search(queries, 3)
    assert hits.keys == (100 + hits.positions).tolist()
    again = numbered.search(queries[:1], 2, exclude=[hits.keys[0]])
    assert again[0].keys == hits.keys[1:]
    assert numbered.search(queries[:1], 2, exclude=[str(hits.keys[0])])[0].keys == again[0].keys


def test_keys_are_found_whatever_their_order(index, numbered, model, scorer, encodings):
    assert index.find(NAMES[::-3]).tolist() == [*range(20)][::-3]
    assert numbered.find([119, "100"]).tolist() == [19, 0]
    many = Index.build(model, encodings(5000), keys=np.arange(5000)[::-1], scorer=scorer)
    assert many.find([4999, 0, 17]).tolist() == [0, 4999, 4982]
    with pytest.raises(InputError, match="keys='item 1' must be a list of keys"):
        index.find("item 1")


def test_ids_and_words_are_encoded_by_their_side(config_of, model_of):
    words = Tokenizer("tokens", Vocabulary({"<unk>": 1, "a": 2, "b": 3}))
    films = Tokenizer("value", Vocabulary({"x": 4, "y": 5, "z": 6}))
    plain = model_of(
        config_of(enc0_network="pooled_embedding", objective=o2v_jax.InBatchObjective())
    )
    model = o2v_jax.Model(plain.config, plain.params, tokenizers=(words, films))
    scorer = o2v_jax.Scorer(model)
    index = Index.build(model, ["x", "y", "z"], keys=["x", "y", "z"], scorer=scorer)
    by_ids = Index.build(model, [[4], [5], [6]], scorer=scorer)
    by_words, ids = index.search(pl.Series(["a b", "B"])), by_ids.search([[2, 3], [3]])
    for one, other in zip(by_words, ids, strict=True):
        assert one.positions.tolist() == other.positions.tolist()
        np.testing.assert_array_equal(one.scores, other.scores)
    with pytest.raises(RecordError, match="query 1: is empty, or holds no token that the model"):
        index.search(["a", ""])
    with pytest.raises(RecordError, match="item 1: is empty, or holds no token that the model"):
        Index.build(model, ["x", "none of them"], scorer=scorer)


def test_threads_may_search_at_once(index, queries):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: index.search(queries, 5, exclude=NAMES[:1]), range(20)))
    assert all(hits[0].keys == found[0][0].keys for hits in found)


def test_it_shows_what_it_is(index):
    assert repr(index) == (
        "Index of 20 items (in1), in memory\n"
        "  8 numbers a vector (0.0 MB), text keys\n"
        "  ranked by the cosine of two encodings\n"
        "  searched whole: finds all"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k=0 must be an integer of at least 1"),
        ({"k": 1.5}, "k=1.5 must be an integer"),
        ({"exclude": ["nothing"]}, "the index has no key 'nothing'"),
        ({"exclude": [[], ["nothing"], []]}, "the index has no key 'nothing'"),
        ({"exclude": [True]}, "a key to exclude must be a text or an integer, got True"),
        ({"exclude": "item 1"}, "exclude='item 1' must be a list of keys, or one a query"),
        ({"exclude": [[], []]}, "exclude has 2 entries for 3 queries"),
        ({"queries": "a text"}, "queries='a text' must be a list of queries, even of one"),
        ({"queries": [[0.5] * 7]}, r"encodings must be \[n, 8\], but one has 7 numbers"),
        ({"queries": [[0.5] * 8, [np.nan] * 8]}, "query 1: its encoding holds NaN or infinity"),
        ({"queries": [[3], []]}, "query 1: is empty, or holds no token"),
        ({"queries": [[3, 20]]}, r"in0\[1\]: 20 is outside the vocabulary 0\.\.19"),
    ],
)
def test_a_search_that_cannot_be_is_refused(index, queries, arguments, message):
    with pytest.raises(o2v_jax.O2VError, match=message):
        index.search(**{"queries": queries, **arguments})


@pytest.mark.parametrize("key", ["7", 2**70, "9" * 5000, "x", -1])
def test_an_unknown_number_is_refused(numbered, queries, key):
    with pytest.raises(InputError, match="the index has no key"):
        numbered.search(queries, exclude=[key])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"items": []}, "there are no items to index"),
        ({"items": np.full((2, 8), np.nan, np.float32)}, "item 0: its encoding holds NaN"),
        ({"items": [[1], []]}, "item 1: is empty, or holds no token"),
        ({"side": "in2"}, "side='in2' must be in0 or in1"),
        ({"keys": ["a"]}, "there are 3 items, but 1 keys"),
        ({"keys": ["a", "b", "a"]}, r"keys\[2\] is 'a', as is keys\[0\]"),
        ({"keys": ["a", "", "b"]}, r"keys\[1\] is ''"),
        ({"keys": ["a", 1, "b"]}, r"keys\[1\]=1: keys must all be texts, or all integers"),
        ({"keys": [1, None, 2]}, r"keys\[1\]=None: keys must all be texts, or all integers"),
        ({"keys": "abc"}, "keys='abc' must be a list or a column of keys"),
        ({"candidates": 0}, "candidates=0 must be an integer of at least 1"),
        ({"approximate": "yes"}, "approximate='yes' must be True or False"),
        ({"output": "s3://bucket/index"}, "s3://bucket/index is a URL, but a path"),
        ({"scorer": 3}, "scorer=3 must be a Scorer, or None"),
        ({"class_index": 1}, r"class_index=1 must be an integer in 0\.\.0"),
    ],
)
def test_what_cannot_be_indexed_is_refused(model, scorer, encodings, given, message):
    arguments = {"items": encodings(3), "scorer": scorer, **given}
    with pytest.raises(o2v_jax.O2VError, match=message):
        Index.build(model, **arguments)


def test_a_scorer_of_another_model_is_refused(head_of, scorer, encodings):
    with pytest.raises(InputError, match="scorer is of another model"):
        Index.build(head_of("inner product"), encodings(3), scorer=scorer)


@pytest.mark.parametrize("name", ["cosine", "two classes", "abs_diff"])
def test_encodings_with_options_of_their_own_find_what_each_would_alone(name, head_of, encodings):
    """Of a head that is asked about candidates, how many it is asked about follows from k."""
    index = Index.build(head_of(name), encodings(90), candidates=8)
    queries, ks = encodings(12, seed=1), np.array([1, 3, 5, 40, 90, 2] * 2)
    out = [np.arange(start, start + 7 * (start % 5)) for start in range(12)]
    found = index.iterate_hits(*index.search_encodings(queries, ks, out))
    for query, k, excluded, hits in zip(queries, ks.tolist(), out, found, strict=True):
        (alone,) = index.search(query[None], k, exclude=excluded)
        assert hits.keys == alone.keys
        np.testing.assert_allclose(hits.scores, alone.scores, rtol=1e-5, atol=1e-6)
