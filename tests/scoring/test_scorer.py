"""The Scorer against the reference: whatever the batch, the bucket, the order or the thread."""

from concurrent.futures import ThreadPoolExecutor

import jax.numpy as jnp
import numpy as np
import pytest
from reference import network as reference

from o2v_jax import InputError, Model, Ragged, RecordError, Scorer
from o2v_jax.data.deduplicate import deduplicate_rows
from o2v_jax.scoring.device_profile import ACCELERATOR, CPU

pytestmark = pytest.mark.slow

# as of an accelerator, but batches and tables are small
SMALL = ACCELERATOR._replace(
    max_tokens=dict.fromkeys(CPU.max_tokens, 512),
    call_cost=1e5,
    step_cost=10,
    table_numbers=1024,
    streams=2,
)
SAME = {"rtol": 1e-6, "atol": 1e-6}
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def model(config_of, model_of):
    """hcnn beside pooled_embedding, each with a vocabulary and a max_seq_len of its own."""
    return model_of(
        config_of(
            enc0_layers=2,
            enc1_network="pooled_embedding",
            enc1_max_seq_len=5,
            enc1_vocab_size=31,
        )
    )


@pytest.fixture(scope="module")
def cpu(model):
    """Of this machine's profile, whose program keys are noted in `called`."""
    scorer = Scorer(model)
    scorer._executor.programs = NotedPrograms(scorer._executor.programs)
    return scorer


@pytest.fixture(scope="module")
def small(model):
    return Scorer(model, profile=SMALL)


@pytest.fixture(scope="module", params=["cpu", "small"])
def scorer(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def others(model):
    """One of a single bucket, and one whose buckets fit a histogram."""
    histogram = np.array([0, 9, 0, 9, 0, 0])
    fitted = Model(model.config, model.params, length_histogram=(histogram, histogram))
    return Scorer(model, max_programs=24), Scorer(fitted)


@pytest.fixture
def noted(cpu):
    """The programs of `cpu`, of which none is noted yet."""
    cpu._executor.programs.called.clear()
    return cpu._executor.programs


class NotedPrograms:
    """A table of programs that keeps the keys of those that are asked for."""

    def __init__(self, table):
        self.table, self.called = table, []

    def __getitem__(self, key):
        self.called.append(key)
        return self.table[key]

    def __getattr__(self, name):
        return getattr(self.table, name)

    def rows(self, part):
        """How many rows the programs of a part had room for."""
        return sum(batch for name, batch, _ in self.called if name == part)


def rows(count, vocab=20, longest=7, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, vocab, rng.integers(0, longest + 1)).tolist() for _ in range(count)]


def test_scores_are_the_references(model, scorer):
    in0, in1 = rows(40), rows(40, 31, 5)
    scores = scorer.score(in0, in1)
    assert (scores.dtype, scores.shape) == (np.float32, (40, 3))
    expected = reference.scores(model.config, model.params, in0, in1)
    np.testing.assert_allclose(scores, expected, **CLOSE)


def test_many_records_take_several_steps(model, scorer):
    objects, pick = (rows(20), rows(20, 31, 5)), np.random.default_rng(0).integers(0, 20, (2, 2500))
    in0, in1 = ([objects[side][at] for at in pick[side]] for side in (0, 1))
    table = np.array(
        [reference.scores(model.config, model.params, [one] * 20, objects[1]) for one in objects[0]]
    )
    np.testing.assert_allclose(scorer.score(in0, in1), table[pick[0], pick[1]], **CLOSE)


@pytest.mark.parametrize("side", [0, 1])
def test_embeddings_are_the_references(model, scorer, side):
    objects = rows(30, longest=(7, 5)[side])
    encodings = scorer.embed(**{f"in{side}": objects})
    assert (encodings.dtype, encodings.shape) == (np.float32, (30, 8))
    expected = reference.encodings(model.config, model.params, side, objects)
    np.testing.assert_allclose(encodings, expected, **CLOSE)


def test_a_record_scores_the_same_alone_and_in_any_order(scorer):
    in0, in1 = rows(30), rows(30, 31, 5)
    single, order = scorer.score(in0, in1), np.random.default_rng(0).permutation(30)
    alone = [scorer.score([a], [b])[0] for a, b in zip(in0, in1, strict=True)]
    np.testing.assert_allclose(alone, single, **SAME)
    shuffled = scorer.score([in0[at] for at in order], [in1[at] for at in order])
    np.testing.assert_allclose(shuffled, single[order], **SAME)


def test_a_record_scores_the_same_in_any_bucket(scorer, others):
    in0, in1 = rows(30), rows(30, 31, 5)
    assert len({s.shapes.usual[0].lengths for s in (scorer, *others)}) == 3
    for other in others:
        np.testing.assert_allclose(other.score(in0, in1), scorer.score(in0, in1), **SAME)


def test_encoders_that_share_programs_keep_their_own_parameters(config_of, model_of):
    model = model_of(config_of(enc0_network="pooled_embedding"))
    scorer, objects = Scorer(model, max_programs=24), rows(9)
    for side in (0, 1):
        expected = reference.encodings(model.config, model.params, side, objects)
        np.testing.assert_allclose(scorer.embed(**{f"in{side}": objects}), expected, **CLOSE)
    assert scorer.compiled == 2  # of the encoder and of fetching


def test_repeated_objects_are_encoded_once(cpu, noted):
    many = [[a, b] for a in range(1, 17) for b in range(16)]
    cpu.score([[3, 4]] * 256, many)
    assert (noted.rows("encoder0"), noted.rows("encoder1")) == (1, 256)


def test_repeating_the_objects_calls_no_more_encoders(cpu, noted):
    cpu.embed(in0=[[1, 2], [5], []])
    once = noted.rows("encoder0")
    cpu.embed(in0=[[1, 2], [5], []] * 100)
    assert noted.rows("encoder0") == 2 * once > 0


def test_objects_that_are_equal_once_cut_are_encoded_once(cpu, noted):
    cpu.embed(in0=[[1, 2, 3, 4, 5, 6, 7, tail] for tail in range(9)])
    assert noted.rows("encoder0") == 1


def test_rank_encodes_the_query_once(cpu, noted):
    cpu.rank([3, 4], [[a, b] for a in range(1, 9) for b in range(1, 9)], 3, class_index=0)
    assert noted.rows("encoder0") == 1
    assert 64 <= noted.rows("encoder1") <= 128  # padded to a batch


def test_after_warming_nothing_is_compiled(config_of, model_of, compilations):
    config = config_of(enc0_max_seq_len=82, enc0_network="pooled_embedding")
    scorer, rng = Scorer(model_of(config), max_programs=40), np.random.default_rng(0)
    programs = len(scorer.shapes.list_programs())
    assert scorer.warm() == scorer.compiled == programs <= 40
    assert len(compilations) >= programs - 3  # those that fetch are the same for all models
    compilations.clear()
    for n in range(200):
        in0, in1 = (rows(rng.integers(0, 9), longest=110, seed=n + side) for side in (0, 1000))
        scorer.score(in0[: len(in1)], in1[: len(in0)])
    scorer.rank([1], rows(3000, longest=90), 9, class_index=0)
    scorer.embed(in0=rows(3000, longest=90))
    assert (scorer.compiled, compilations) == (programs, [])


def test_what_is_warm_first_fits_every_call(config_of, model_of, compilations):
    model = model_of(config_of(enc0_max_seq_len=82, enc0_network="pooled_embedding"))
    warm, scorer = (Scorer(model, max_programs=40) for _ in range(2))
    requests = [(rows(n, longest=100, seed=n), rows(n, longest=90, seed=n + 9)) for n in (1, 5, 70)]
    expected = [warm.score(*request) for request in requests]
    compilations.clear()
    assert scorer.warm_first() == scorer.compiled <= 6
    assert 0 < len(compilations) <= 6
    for request, scores in zip(requests, expected, strict=True):
        np.testing.assert_allclose(scorer.score(*request), scores, atol=1e-5)
    assert scorer.compiled == scorer.warm_first()
    assert scorer.warm() == scorer.compiled > 10
    np.testing.assert_allclose(scorer.score(*requests[1]), expected[1], atol=1e-5)
    assert scorer.waits == 0 < warm.waits


def test_what_is_warm_stays_in_use(model):
    scorer, computed = Scorer(model, max_programs=50), [0]
    for warm in (scorer.warm_first, scorer.warm, scorer.warm_first):
        warm()
        scorer.score([[3, 5]], [[4]])
        computed.append(scorer.computed_tokens)
    first, whole, again = np.diff(computed)
    assert again == whole < first


def test_longer_sequences_can_be_warm_too(config_of, model_of):
    model = model_of(config_of(enc0_network="pooled_embedding"))
    scorer = Scorer(model, max_programs=24, profile=SMALL)
    assert scorer.warm(longer=True) == scorer.compiled
    scorer.score([[1] * 300], [[2] * 4000], max_seq_lens=(5000, 5000))
    assert scorer.waits == 0


def test_a_shape_outside_the_table_is_an_error(scorer):
    for key in (("encoder0", 3, 7), ("head", 1, 2), ("tail", 1, 1)):
        with pytest.raises(InputError, match="no program"):
            _ = scorer._executor.programs[key]


def test_threads_share_a_cold_scorer(model, cpu, compilations):
    requests = [(rows(n % 9, seed=n), rows(n % 9, 31, 5, seed=n + 99)) for n in range(64)]
    expected = [cpu.score(*request) for request in requests]
    compilations.clear()
    cold = Scorer(model)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda request: cold.score(*request), requests))
    for answer, right in zip(answers, expected, strict=True):
        np.testing.assert_allclose(answer, right, **SAME)
    assert cold.compiled == len(compilations) <= len(cold.shapes.list_programs())


@pytest.mark.parametrize("lengths", [(30, 300), (2, 1), (7, 5), (1, 5000)])
def test_max_seq_lens_decide_where_sequences_are_cut(model, scorer, lengths):
    in0, in1 = rows(6, longest=40), rows(6, 31, 400)
    cut = [[row[:most] for row in side] for side, most in zip((in0, in1), lengths, strict=True)]
    expected = reference.scores(model.config, model.params, *cut)
    np.testing.assert_allclose(scorer.score(in0, in1, max_seq_lens=lengths), expected, **CLOSE)
    for side, objects in enumerate((in0, in1)):
        encodings = scorer.embed(**{f"in{side}": objects}, max_seq_lens=lengths)
        expected = reference.encodings(model.config, model.params, side, cut[side])
        np.testing.assert_allclose(encodings, expected, **CLOSE)


def test_validated_rows_are_scored_as_they_are(model, scorer):
    """Above the model's max_seq_len too: they were cut before, where the request asked for it."""
    in0, in1 = Ragged.of(rows(40, longest=30)), Ragged.of(rows(40, 31, 30))
    expected = scorer.score(in0, in1, max_seq_lens=(30, 30))
    np.testing.assert_array_equal(scorer.score_validated(in0, in1), expected)
    for side, objects in enumerate((in0, in1)):
        wanted = scorer.embed(**{f"in{side}": objects}, max_seq_lens=(30, 30))
        np.testing.assert_array_equal(scorer.embed_validated(side, objects), wanted)


@pytest.mark.parametrize("count", [2, 90, 900])
def test_of_distinct_rows_no_repetition_is_searched_for(cpu, small, count):
    """Few, which a fused program scores, many, and more than the tables of a small device hold."""
    pick = np.random.default_rng(count).integers(0, 20, (2, count))
    in0, in1 = (
        Ragged.of(side).take(at) for side, at in zip((rows(20), rows(20, 31, 5)), pick, strict=True)
    )
    distinct = deduplicate_rows(in0), deduplicate_rows(in1)
    scores = cpu.score(in0, in1)
    np.testing.assert_array_equal(cpu.score_validated(*distinct), scores)
    np.testing.assert_allclose(small.score_validated(*distinct), scores, **SAME)
    np.testing.assert_array_equal(cpu.embed_validated(1, distinct[1]), cpu.embed(in1=in1))


def test_the_longest_sequence_that_a_request_may_ask_for(model, scorer):
    row = np.random.default_rng(0).integers(0, 31, 5100).tolist()
    encodings = scorer.embed(in1=[row], max_seq_lens=(1, 5000))
    expected = reference.encodings(model.config, model.params, 1, [row[:5000]])
    np.testing.assert_allclose(encodings, expected, **CLOSE)


@pytest.mark.parametrize("lengths", [(0, 5), (5, 5001), (-1, 1), (3,), (3, 4, 5)])
def test_max_seq_lens_must_be_two_and_in_range(scorer, lengths):
    with pytest.raises(InputError, match="max_seq_lens"):
        scorer.score([[1]], [[1]], max_seq_lens=lengths)


@pytest.mark.parametrize(
    ("in0", "in1", "where", "reason"),
    [
        ([[1], [], [2, 3, 20]], [[1]] * 3, "record 2: in0[2]", "20 .* 0..19"),
        ([[1], [-1]], [[1]] * 2, "record 1: in0[0]", "-1 .* 0..19"),
        ([[1]], [[30, 31]], "record 0: in1[1]", "31 .* 0..30"),
        ([[1], []], [[], [0, 2**31 - 1]], "record 1: in1[1]", "2147483647"),
    ],
)
def test_an_id_outside_the_vocabulary_is_named(scorer, in0, in1, where, reason):
    with pytest.raises(RecordError, match=reason) as raised:
        scorer.score(in0, in1)
    assert raised.value.where == where


WRONG = {
    "sides of unequal number": lambda s: s.score([[1]], [[1], [2]]),
    "fractions": lambda s: s.score([[1.5]], [[1]]),
    "one sequence, not many": lambda s: s.score([1, 2], [3, 4]),
    "neither side": lambda s: s.embed(),
    "both sides": lambda s: s.embed([[1]], [[1]]),
    "k of 0": lambda s: s.rank([1], [[1], [2]], 0, class_index=0),
    "negative k": lambda s: s.rank([1], [[1], [2]], -1, class_index=0),
    "no class of three": lambda s: s.rank([1], [[1], [2]], 1),
    "class 3 of three": lambda s: s.rank([1], [[1], [2]], 1, class_index=3),
    "negative class": lambda s: s.rank([1], [[1], [2]], 1, class_index=-1),
    "candidates too wide": lambda s: s.rank([1], np.zeros((2, 9)), 1, class_index=0),
    "query too wide": lambda s: s.rank(np.zeros(9), [[1]], 1, class_index=0),
    "an id for a query": lambda s: s.rank(1, [[1]], 1, class_index=0),
    "queries for a query": lambda s: s.rank([[1, 2]], [[1]], 1, class_index=0),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_meant_is_one_clear_error(scorer, what):
    with pytest.raises(InputError, match=r"^[^\n]+$"):
        WRONG[what](scorer)


@pytest.mark.parametrize("side", [0, 1])
def test_rank_is_the_order_of_the_scores(scorer, side):
    query, candidates = [4, 7], rows(40, longest=5)
    pairs = ([query] * 40, candidates) if side == 0 else (candidates, [query] * 40)
    scores = scorer.score(*pairs)[:, 2]
    ranking = scorer.rank(query, candidates, 10, query_side=side, class_index=2)
    assert (ranking.indices.dtype, ranking.scores.dtype) == (np.int64, np.float32)
    assert ranking.indices.tolist() == sorted(range(40), key=lambda n: -scores[n])[:10]
    np.testing.assert_allclose(ranking.scores, scores[ranking.indices], **SAME)


@pytest.mark.parametrize("side", [0, 1])
def test_rank_takes_encodings(scorer, side):
    query, candidates = [4, 7], rows(40, longest=5)
    one = scorer.embed(**{f"in{side}": [query]})[0]
    many = scorer.embed(**{f"in{1 - side}": candidates})
    by_ids = scorer.rank(query, candidates, 40, query_side=side, class_index=0)
    for mixed in ((one, many), (query, many), (one, candidates), (one.astype(float), many)):
        ranking = scorer.rank(*mixed, 40, query_side=side, class_index=0)
        np.testing.assert_array_equal(ranking.indices, by_ids.indices)
        np.testing.assert_allclose(ranking.scores, by_ids.scores, **SAME)


def test_compare_scores_pairs_of_encodings(scorer):
    in0, in1 = rows(3), rows(4, vocab=31, seed=1)
    enc0, enc1 = scorer.embed(in0=in0), scorer.embed(in1=in1)
    rows0, rows1 = np.array([2, 0, 2]), np.array([3, 3, 1])
    scores = scorer.compare(enc0, rows0, enc1, rows1)
    expected = scorer.score([in0[at] for at in rows0], [in1[at] for at in rows1])
    np.testing.assert_allclose(scores, expected, **SAME)


def test_objects_are_read_as_validated_ids_or_as_encodings(scorer):
    long = [[1, 2, 3, 4, 5, 6, 7], [8]]
    assert scorer.read_objects(1, long).to_lists() == [[1, 2, 3, 4, 5], [8]]
    assert scorer.read_objects(0, np.ones((2, 8))).dtype == np.float32
    with pytest.raises(RecordError, match=r"record 1: in1\[0\]: 31 is outside the vocabulary"):
        scorer.read_objects(1, [[3], [31]])
    with pytest.raises(InputError, match="side=2 must be 0"):
        scorer.read_objects(2, long)


def test_equal_candidates_keep_their_order_and_k_may_be_too_large(scorer):
    ranking = scorer.rank([1], [[3], [5]] * 100, 999, class_index=1)
    first, second = ranking.indices[:100].tolist(), ranking.indices[100:].tolist()
    assert sorted([first, second]) == [list(range(0, 200, 2)), list(range(1, 200, 2))]
    assert ranking.scores.tolist() == sorted(ranking.scores, reverse=True)


@pytest.mark.parametrize("head", [{"num_classes": 2}, {"output_layer": "mean_squared_error"}])
def test_rank_needs_no_class_of_two_or_of_a_regression(config_of, model_of, head):
    scorer = Scorer(model_of(config_of(enc0_network="pooled_embedding", **head)), max_programs=24)
    scores = scorer.score([[4]] * 9, rows(9))[:, -1]
    assert scorer.rank([4], rows(9), 1).indices[0] == scores.argmax()


def test_an_empty_query_and_empty_candidates(scorer):
    ranking = scorer.rank([], [[], [1], []], 3, class_index=0)
    np.testing.assert_allclose(
        ranking.scores, scorer.score([[]] * 3, [[], [1], []])[ranking.indices, 0], **SAME
    )


def test_no_records_and_no_candidates(scorer):
    assert scorer.score([], []).shape == (0, 3)
    assert scorer.embed(in0=[]).shape == scorer.embed(in1=Ragged.of([])).shape == (0, 8)
    assert scorer.rank([1], [], 3, class_index=0).indices.shape == (0,)
    assert scorer.rank([1], np.zeros((0, 8)), 3, class_index=0).scores.shape == (0,)


def test_lists_arrays_and_ragged_are_the_same(scorer):
    in0, in1 = [[1, 2], [3, 4]], [[5], [6]]
    expected = scorer.score(in0, in1)
    for kind in (np.array, Ragged.of, tuple, iter, lambda r: [np.array(x, np.int64) for x in r]):
        np.testing.assert_array_equal(scorer.score(kind(in0), kind(in1)), expected)


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray, list])
def test_rank_takes_encodings_of_any_kind(scorer, kind):
    candidates = rows(12, longest=5)
    by_ids = scorer.rank([4, 7], candidates, 5, class_index=0)
    query, encodings = scorer.embed(in0=[[4, 7]])[0], scorer.embed(in1=candidates)
    ranked = scorer.rank(query, kind(encodings), 5, class_index=0)
    np.testing.assert_array_equal(ranked.indices, by_ids.indices)
    np.testing.assert_allclose(ranked.scores, by_ids.scores, rtol=1e-6)


def test_an_unknown_preferred_mode_is_refused(model):
    with pytest.raises(InputError, match="preferred_mode='classify' must be classification or"):
        Scorer(model, preferred_mode="classify")
