"""Tables of encodings: the same results, whatever slices the records are cut into."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest

from o2v_jax import Scorer
from o2v_jax.scoring.device_profile import ACCELERATOR, CPU

pytestmark = pytest.mark.slow

NETWORKS = ["hcnn", "bilstm", "pooled_embedding"]
FEW = 40  # programs, so that few are compiled
# tables and the largest batch hold 64 rows of 8 numbers
SMALL = ACCELERATOR._replace(
    max_tokens=dict.fromkeys(CPU.max_tokens, 128), table_numbers=1024, streams=2
)


@pytest.fixture(scope="module", params=NETWORKS)
def model(request, config_of, model_of):
    return model_of(config_of(enc0_network=request.param, enc1_network="hcnn"))


@pytest.fixture(scope="module")
def scorer(model):
    return Scorer(model, profile=SMALL, max_programs=FEW)


@pytest.fixture(scope="module")
def large(model):
    """A Scorer whose tables hold everything at once."""
    return Scorer(model, max_programs=FEW)


def rows(count, seed, longest=7):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 20, rng.integers(0, longest + 1)).tolist() for _ in range(count)]


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 64, 65, 500])
def test_scores_and_embeddings_are_those_of_large_tables(large, scorer, count):
    in0, in1 = rows(count, 0), rows(count, 1)
    np.testing.assert_allclose(scorer.score(in0, in1), large.score(in0, in1), atol=1e-6)
    np.testing.assert_allclose(scorer.embed(in0), large.embed(in0), atol=1e-6)
    np.testing.assert_allclose(scorer.embed(in1=in1), large.embed(in1=in1), atol=1e-6)


def test_a_slice_whose_padding_does_not_fit_is_halved(large, scorer):
    """Few rows of every length, each in a batch of its own."""
    lengths = [*range(1, 8)] * 4
    in0 = in1 = [list(range(1, n + 1)) for n in lengths]
    expected = large.score(in0, in1)
    scorer.warm()
    np.testing.assert_allclose(scorer.score(in0, in1), expected, atol=1e-6)
    assert scorer._executor._capacity == (2, 64)


@pytest.mark.parametrize(
    ("model", "streams", "table"),
    [
        *product(["pooled_embedding"], [1, 2, 3], [1, 256, 4096]),
        *product(["hcnn"], [3], [1, 4096]),
        *product(["bilstm"], [2], [256]),
    ],
    indirect=["model"],
)
def test_scores_are_the_same_in_any_number_of_streams(model, large, streams, table):
    """Also of tables that hold no more than the largest batch."""
    in0, in1 = rows(70, 0), rows(70, 1)
    expected = large.score(in0, in1)
    profile = SMALL._replace(streams=streams, table_numbers=table)
    scorer = Scorer(model, profile=profile, max_programs=FEW)
    np.testing.assert_allclose(scorer.score(in0, in1), expected, atol=1e-6)
    np.testing.assert_array_equal(scorer.score(in0, in1), scorer.score(in0, in1))


def test_a_repeated_object_is_encoded_once_a_slice(scorer):
    before = scorer.useful_tokens
    scorer.score([[3, 4]] * 20, [[5]] * 20)
    assert scorer.useful_tokens == before + 3


def test_rank_takes_ids_and_encodings(scorer):
    candidates = rows(70, 3)
    of_ids = scorer.rank([3, 4], candidates, 5, class_index=0)
    given = scorer.embed([[3, 4]])[0], scorer.embed(in1=candidates)
    np.testing.assert_array_equal(of_ids.indices, scorer.rank(*given, 5, class_index=0).indices)


def test_threads_have_tables_of_their_own(large, scorer):
    pairs = [(rows(40, seed), rows(40, seed + 100)) for seed in range(12)]
    expected = [large.score(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(
            pool.map(lambda p: scorer.score(*p), pairs), expected, strict=True
        ):
            np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_after_an_error_no_table_is_half_written(scorer):
    pair = rows(40, 0), rows(40, 1)
    expected = scorer.score(*pair)
    programs = scorer._executor.programs

    class Failing:
        compiled = 0

        def __getitem__(self, key):
            if key[0] == "head":
                raise RuntimeError("the device is lost")
            return programs[key]

    scorer._executor.programs = Failing()
    with pytest.raises(RuntimeError, match="lost"):
        scorer.score(*pair)
    scorer._executor.programs = programs
    np.testing.assert_array_equal(scorer.score(*pair), expected)


def test_after_an_error_that_shows_late_no_table_is_used_again(scorer):
    """As a device's errors do, when results are fetched and their tables are free again."""
    pair = rows(200, 0), rows(200, 1)
    expected = scorer.score(*pair)
    programs, before = scorer._executor.programs, list(scorer._executor._free)

    class Lost:
        def copy_to_host_async(self):
            pass

        def __array__(self, *_, **__):
            raise RuntimeError("the device is lost")

    class Failing:
        compiled = 0

        def __getitem__(self, key):
            return (lambda *_: Lost()) if key[0] == "head" else programs[key]

    scorer._executor.programs = Failing()
    with pytest.raises(RuntimeError, match="lost"):
        scorer.score(*pair)
    scorer._executor.programs = programs
    np.testing.assert_array_equal(scorer.score(*pair), expected)
    assert before
    assert not any(streams is old for streams in scorer._executor._free for old in before)


def test_nothing_is_compiled_after_warming(scorer, compilations):
    scorer.warm()
    compilations.clear()
    for count in (1, 3, 100):
        scorer.score(rows(count, 0), rows(count, 1))
        scorer.embed(rows(count, 2))
    assert compilations == []
