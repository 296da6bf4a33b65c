"""`evaluate_ranking`: what it ranks, what it refuses, and what a RankingEvaluation says."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import rankdata

import o2v_jax
from o2v_jax import InBatchObjective, InputError, RecordError, Scorer, Tokenizer, Vocabulary

WORDS = Vocabulary({"<unk>": 1} | {f"w{number}": number for number in range(2, 20)})
IN0 = [[2], [3, 4], [5], [2], [6]]
IN1 = [[7], [8, 9], [7], [10], [11]]
LABELS = [1, 1, 0, 1, 0]


@pytest.fixture(scope="module")
def model(config_of, model_of):
    config = config_of(
        enc0_network="pooled_embedding",
        enc1_network="pooled_embedding",
        enc0_max_seq_len=3,
        objective=InBatchObjective(),
    )
    tokenizers = Tokenizer("tokens", WORDS), Tokenizer("tokens", WORDS)
    return replace(model_of(config), tokenizers=tokenizers)


@pytest.fixture(scope="module")
def scorer(model):
    return Scorer(model)


def as_texts(rows):
    return [" ".join(f"w{number}" for number in row) for row in rows]


def rank_by_scorer(scorer, query, candidates, relevant, **options):
    """The rank of one candidate, by `Scorer.rank`; there are no ties."""
    found = scorer.rank(query, candidates, len(candidates), **options)
    return 1 + [candidates[at] for at in found.indices].index(relevant)


def test_each_distinct_query_is_ranked_among_all_distinct_candidates(scorer):
    found = o2v_jax.evaluate_ranking(scorer, IN0, IN1)
    candidates = [[7], [8, 9], [10], [11]]
    pairs = zip(IN0, IN1, strict=True)
    assert found.ranks.tolist() == [rank_by_scorer(scorer, *(a, candidates, b)) for a, b in pairs]
    assert found.lists.queries.to_lists() == [[2], [3, 4], [5], [6]]
    assert found.lists.candidates.to_lists() == candidates
    best = np.array([min(found.ranks[[0, 3]]), *found.ranks[[1, 2, 4]]])
    assert found.metrics["mrr"] == pytest.approx((1 / best).mean())
    assert found.metrics["mean_rank"] == best.mean()
    assert found.metrics["hits_at_1"] == (best == 1).mean()
    numbers = [found.metrics[n] for n in ("queries", "queries_without_positive", "candidates")]
    assert numbers == [4, 0, 4]


def test_the_other_side_may_ask(scorer):
    found = o2v_jax.evaluate_ranking(scorer, IN0, IN1, query_side=1)
    candidates = [[2], [3, 4], [5], [6]]
    pairs = zip(IN1, IN0, strict=True)
    ranks = [rank_by_scorer(scorer, a, candidates, b, query_side=1) for a, b in pairs]
    assert found.ranks.tolist() == ranks
    assert found.metrics["queries"] == 4


def test_labels_say_what_is_relevant_and_queries_without_are_said(scorer):
    found = o2v_jax.evaluate_ranking(scorer, IN0, IN1, LABELS)
    everything = o2v_jax.evaluate_ranking(scorer, IN0, IN1)
    relevant = np.array(LABELS) == 1
    np.testing.assert_array_equal(found.ranks[relevant], everything.ranks[relevant])
    assert np.isnan(found.ranks[~relevant]).all()
    assert found.metrics["queries"] == 2
    assert found.metrics["queries_without_positive"] == 2
    assert found.metrics["candidates"] == 4, "all are ranked"
    assert all(np.isfinite(value) for value in found.metrics.values())
    lines = repr(found).splitlines()
    assert lines[0] == "RankingEvaluation of 2 queries among 4 candidates"
    assert lines[1].strip() == "left out, without a relevant candidate: 2"
    assert len(lines) == 2 + len(found.figures)


@pytest.mark.parametrize("labels", [[0.5, 3, -1, 2, 0], np.array([True, True, False, True, False])])
def test_every_label_above_0_counts_alike(scorer, labels):
    found = o2v_jax.evaluate_ranking(scorer, IN0, IN1, labels)
    expected = o2v_jax.evaluate_ranking(scorer, IN0, IN1, LABELS)
    np.testing.assert_array_equal(found.ranks, expected.ranks)


def test_candidates_may_be_more_and_repeat(scorer):
    listed = [[12], [8, 9], [12], [7], [13], [10], [11], [7]]
    found = o2v_jax.evaluate_ranking(scorer, IN0, IN1, candidates=listed)
    assert found.metrics["candidates"] == 6
    distinct = [[12], [8, 9], [7], [13], [10], [11]]
    assert found.ranks[0] == rank_by_scorer(scorer, [2], distinct, [7])


def test_known_pairs_leave_the_lists_but_relevant_ones_stay(scorer):
    listed = [[number] for number in range(1, 20)] + [[8, 9]]
    plain = o2v_jax.evaluate_ranking(scorer, IN0, IN1, candidates=listed)
    # all that stands before the first in the list of [2], what is relevant, and unknown objects
    first = scorer.rank([2], listed, len(listed)).indices.tolist()
    before = [listed[at] for at in first[: first.index(6)]]
    known = [[2]] * (len(before) + 1) + [[19]], [*before, [7], [19, 19]]
    found = o2v_jax.evaluate_ranking(scorer, IN0, IN1, candidates=listed, known=known)
    assert found.ranks[0] == 1 + before.count([10]), "which is relevant too"
    np.testing.assert_array_equal(found.ranks[[1, 2, 4]], plain.ranks[[1, 2, 4]])


def test_objects_that_the_model_reads_alike_are_one(scorer):
    found = o2v_jax.evaluate_ranking(scorer, [[2, 3, 4, 5], [2, 3, 4, 6]], [[7], [8]])
    assert found.metrics["queries"] == 1
    assert found.metrics["recall_at_1"] == 0.5


@pytest.mark.parametrize("column", [list, np.array, pa.array])
def test_texts_are_their_ids(model, scorer, column):
    texts = {"in0": column(as_texts(IN0)), "in1": column(as_texts(IN1))}
    found = o2v_jax.evaluate_ranking(
        scorer, **texts, candidates=column(as_texts(IN1)), known=(as_texts(IN0), as_texts(IN1))
    )
    expected = o2v_jax.evaluate_ranking(model, IN0, IN1, dtype="float32")
    np.testing.assert_array_equal(found.ranks, expected.ranks)


def test_a_classifier_ranks_by_the_probability_of_a_class(config_of, model_of):
    config = config_of(enc0_network="pooled_embedding", mlp_layers=1, mlp_activation="relu")
    names = ("no", "perhaps", "yes")
    scorer = Scorer(replace(model_of(config), class_names=names))
    labels = ["yes", "no", "perhaps", 2, "no"]
    found = o2v_jax.evaluate_ranking(scorer, IN0, IN1, labels, class_index=2)
    candidates = [[7], [8, 9], [10], [11]]
    scores = scorer.score([[2]] * 4, candidates)[:, 2]
    assert found.ranks[[0, 3]].tolist() == rankdata(-scores)[[0, 2]].tolist()
    assert np.isnan(found.ranks[[1, 2, 4]]).all()
    with pytest.raises(InputError, match="class_index=None must be an integer in"):
        o2v_jax.evaluate_ranking(scorer, IN0, IN1)
    with pytest.raises(RecordError, match="record 1: the label 3 is not an integer class"):
        o2v_jax.evaluate_ranking(scorer, IN0, IN1, [0, 3, 1, 1, 1], class_index=0)
    with pytest.raises(InputError, match="none of the 5 pairs has the label 1: there is"):
        o2v_jax.evaluate_ranking(scorer, IN0, IN1, [0] * 5, class_index=1)


def test_intervals_are_those_of_means_over_queries(scorer):
    found = o2v_jax.evaluate_ranking(scorer, IN0, IN1)
    assert {name: each.value for name, each in found.figures.items()} == pytest.approx(
        {name: found.metrics[name] for name in found.figures}
    )
    mean_rank, hits = found.figures["mean_rank"], found.figures["hits_at_10"]
    assert mean_rank.method == "Student"
    assert 1 <= mean_rank.low < mean_rank.value < mean_rank.high
    assert (hits.method, hits.value, hits.high) == ("Wilson", 1, 1)


def test_the_worst_queries_are_texts_in_order(scorer):
    found = o2v_jax.evaluate_ranking(scorer, IN0, IN1)
    worst = found.list_worst()
    assert [each.rank for each in worst] == sorted((each.rank for each in worst), reverse=True)
    by_query = {each.query: each for each in worst}
    assert sorted(by_query) == ["w2", "w3 w4", "w5", "w6"]
    candidates = [[7], [8, 9], [10], [11]]
    for ids, query in zip([[2], [3, 4]], ["w2", "w3 w4"], strict=True):
        first = candidates[scorer.rank(ids, candidates, 1).indices[0]]
        assert by_query[query].first == as_texts([first])[0]
    best = as_texts([IN1[0] if found.ranks[0] < found.ranks[3] else IN1[3]])[0]
    assert by_query["w2"].relevant == best
    assert found.list_worst(1) == worst[:1]
    with pytest.raises(InputError, match="count=-1 must be an integer of at least 0"):
        found.list_worst(-1)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([], []), {}, InputError, "there are no records to evaluate"),
        (
            (IN0, IN1[:2]),
            {},
            InputError,
            "in0 and in1 must be equally many, but in0 has 5, in1 has",
        ),
        ((IN0, IN1, [1]), {}, InputError, "in0, in1 and labels must be .*, labels has 1"),
        ((IN0, IN1, [0] * 5), {}, InputError, "none of the 5 pairs has a label above 0"),
        ((IN0, IN1, [1, float("nan"), 1, 1, 1]), {}, RecordError, "record 1: the label nan is not"),
        ((IN0, IN1, "yes"), {}, InputError, "labels='yes' must be labels in a sequence"),
        ((IN0, IN1), {"candidates": []}, InputError, "candidates: there are none to rank"),
        (
            (IN0, IN1),
            {"candidates": [[7], [11], [8, 9]]},
            RecordError,
            "record 3: in1: 'w10' is relevant, but it is not among the candidates",
        ),
        (
            (IN0, IN1),
            {"candidates": [[2], [99]]},
            RecordError,
            r"candidates: record 1: in1\[0\]: 99 is outside",
        ),
        ((IN0, IN1), {"known": [[2]]}, InputError, r"known must be \(in0, in1\), two columns"),
        ((IN0, IN1), {"known": ([[2]], [])}, InputError, "known has 1 in0 and 0 in1"),
        ((IN0, IN1), {"known": ([[99]], [[2]])}, RecordError, r"known: record 0: in0\[0\]: 99"),
        ((IN0, [[99]] * 5), {}, RecordError, r"record 0: in1\[0\]: 99 is outside"),
        ((IN0, IN1), {"query_side": 2}, InputError, r"query_side=2 must be 0 \(in0\) or 1"),
        ((IN0, IN1), {"class_index": 1}, InputError, "class_index=1 must be an integer in 0..0"),
        ((IN0, IN1), {"dtype": "bfloat16"}, InputError, "dtype='bfloat16': leave it out"),
    ],
)
def test_what_is_wrong_is_named(scorer, arguments, options, error, message):
    with pytest.raises(error, match=message):
        o2v_jax.evaluate_ranking(scorer, *arguments, **options)


def test_what_is_no_model_is_refused():
    with pytest.raises(InputError, match="model='model' must be a Model or a Scorer"):
        o2v_jax.evaluate_ranking("model", IN0, IN1)


def test_a_model_that_ranks_is_not_evaluated_by_labels(model):
    with pytest.raises(InputError, match=r"rank by cosine.* o2v_jax\.evaluate_ranking"):
        o2v_jax.evaluate(model, IN0, IN1, LABELS)
