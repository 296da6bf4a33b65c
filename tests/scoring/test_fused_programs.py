"""Fused programs, which score a few pairs at once, against the programs for many."""

import numpy as np
import pytest

from o2v_jax import Ragged, Scorer
from o2v_jax.scoring import choose_shapes
from o2v_jax.scoring.buckets import BucketTable
from o2v_jax.scoring.device_profile import CPU
from o2v_jax.scoring.shapes import ShapeTable, find_fused_shape, make_fused_table

pytestmark = pytest.mark.slow

SHORT = BucketTable((4, 8, 16), ((1, 4), (1, 4), (1, 4)), call_cost=100.0)
LONG = BucketTable((10, 40), ((1, 4), (1, 4)), call_cost=1000.0)
WITHOUT = CPU._replace(fused_batches=())


def ragged(*lengths):
    return Ragged.of([[1] * length for length in lengths])


def shapes_of(profile):
    both, one = (SHORT, LONG), BucketTable((1,), ((1,),))
    fused = make_fused_table(both, profile)
    return ShapeTable(("encoder0", "encoder1"), both, both, one, one, fused, profile)


@pytest.fixture
def used(monkeypatch):
    """Keys of the programs that scorers ask for."""
    found, plain = [], Scorer.__init__

    def init(self, *args, **options):
        plain(self, *args, **options)
        programs = self._executor.programs

        class Noting:
            def __getitem__(self, key):
                found.append(key)
                return programs[key]

        self._executor.programs = Noting()

    monkeypatch.setattr(Scorer, "__init__", init)
    return found


def test_lengths_differ_enough_and_batches_cost_at_most_so_much():
    found = make_fused_table((SHORT, LONG), CPU)
    assert found.lengths == (4, 10, 16, 40)
    assert found.batch_sizes == ((1, 4, 16), (1, 4, 16), (1, 4, 16), (1, 4))


def test_where_there_should_be_none_there_are_none():
    found = shapes_of(WITHOUT)
    assert found.fused == BucketTable((), ())
    assert find_fused_shape((ragged(1), ragged(1)), found) is None


@pytest.mark.parametrize(
    ("in0", "in1", "shape"),
    [
        ([3], [4], (1, 4)),
        ([5, 1], [0, 2], (4, 10)),
        ([3] * 4, [16] * 4, (4, 16)),
        ([16] * 5, [16] * 5, (16, 16)),
        ([0], [0], (1, 4)),
        ([4] * 17, [4] * 17, None),  # too many
        ([], [], None),
        ([4], [41], None),  # too long
        ([4] * 5, [40] * 5, None),  # no such program
        ([1] * 5, [16] + [0] * 4, None),  # mostly padding
    ],
)
def test_the_smallest_shape_that_holds_them(in0, in1, shape):
    assert find_fused_shape((ragged(*in0), ragged(*in1)), shapes_of(CPU)) == shape


@pytest.mark.parametrize("network", ["hcnn", "bilstm", "pooled_embedding"])
@pytest.mark.parametrize("other", [{}, {"enc1_network": "pooled_embedding"}])
def test_they_score_as_among_many(model_of, config_of, network, other, used):
    model = model_of(config_of(enc0_network=network, enc0_max_seq_len=9, **other))
    rng = np.random.default_rng(0)
    sides = [[rng.integers(0, 20, rng.integers(0, 9)).tolist() for _ in range(40)] for _ in "01"]
    expected = Scorer(model, profile=WITHOUT).score(*sides)
    assert "pairs" not in {part for part, _, _ in used}
    scorer = Scorer(model)
    for count in (1, 2, 4, 7, 16):
        used.clear()
        scores = scorer.score(sides[0][:count], sides[1][:count])
        assert [part for part, _, _ in used] == ["pairs"]
        np.testing.assert_allclose(scores, expected[:count], atol=1e-6)
        assert scores.flags.owndata


def test_padding_and_tokens_are_counted(model_of, config_of):
    scorer = Scorer(model_of(config_of(enc0_max_seq_len=9)))
    scorer.score([[1, 2], [3]], [[4], []])
    assert scorer.useful_tokens == 4
    assert scorer.computed_tokens == 2 * 4 * scorer.shapes.fused.lengths[0]


def test_a_small_budget_goes_to_lengths(model_of, config_of):
    model = model_of(config_of())
    assert Scorer(model, max_programs=80).shapes.fused.lengths
    assert not Scorer(model, max_programs=16).shapes.fused.lengths


@pytest.mark.parametrize("longest", [1, 82, 5000])
@pytest.mark.parametrize("network", ["hcnn", "bilstm", "pooled_embedding"])
def test_they_take_at_most_a_fifth_of_the_programs(config_of, network, longest):
    for most in (24, 40, 60, 80):
        config = config_of(enc0_network=network, enc0_max_seq_len=longest)
        found = choose_shapes(config, max_programs=most)
        assert 5 * len(found.fused.shapes()) <= most
        assert len(found.list_programs()) <= most
        assert found.fused.lengths or most < 80
