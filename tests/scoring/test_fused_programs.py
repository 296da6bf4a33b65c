"""Few pairs, which one program scores, against the way of many."""

import numpy as np
import pytest

from o2v_jax import Ragged, Scorer
from o2v_jax.scoring import layout
from o2v_jax.scoring.buckets import Shapes
from o2v_jax.scoring.shapes import CPU, few_shape, few_shapes

pytestmark = pytest.mark.slow

SHORT = Shapes((4, 8, 16), ((1, 4), (1, 4), (1, 4)), call=100.0)
LONG = Shapes((10, 40), ((1, 4), (1, 4)), call=1000.0)
WITHOUT = CPU._replace(few=())


def ragged(*lengths):
    return Ragged.of([[1] * length for length in lengths])


@pytest.fixture
def used(monkeypatch):
    """Keys of the programs that scorers ask for."""
    found, plain = [], Scorer.__init__

    def init(self, *args, **options):
        plain(self, *args, **options)
        programs = self._network.programs

        class Noting:
            def __getitem__(self, key):
                found.append(key)
                return programs[key]

        self._network.programs = Noting()

    monkeypatch.setattr(Scorer, "__init__", init)
    return found


def test_lengths_differ_enough_and_batches_cost_at_most_so_much():
    found = few_shapes((SHORT, LONG), (1, 4, 16))
    assert found.lengths == (4, 10, 16, 40)
    assert found.batches == ((1, 4, 16), (1, 4, 16), (1, 4, 16), (1, 4))


def test_where_there_should_be_none_there_are_none():
    none = few_shapes((SHORT, LONG), ())
    assert none == Shapes((), ())
    assert few_shape((ragged(1), ragged(1)), (SHORT, LONG), none) is None


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
    usual = SHORT, LONG
    few = few_shapes(usual, (1, 4, 16))
    assert few_shape((ragged(*in0), ragged(*in1)), usual, few) == shape


@pytest.mark.parametrize("network", ["hcnn", "bilstm", "pooled_embedding"])
@pytest.mark.parametrize("other", [{}, {"enc1_network": "pooled_embedding"}])
def test_they_score_as_among_many(model_of, config_of, network, other, used):
    model = model_of(config_of(enc0_network=network, enc0_max_seq_len=9, **other))
    rng = np.random.default_rng(0)
    sides = [[rng.integers(0, 20, rng.integers(0, 9)).tolist() for _ in range(40)] for _ in "01"]
    expected = Scorer(model, machine=WITHOUT).score(*sides)
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
    assert scorer.computed_tokens == 2 * 4 * scorer.layout.few.lengths[0]


def test_a_small_budget_goes_to_lengths(model_of, config_of):
    model = model_of(config_of())
    assert Scorer(model, max_programs=80).layout.few.lengths
    assert not Scorer(model, max_programs=16).layout.few.lengths


@pytest.mark.parametrize("longest", [1, 82, 5000])
@pytest.mark.parametrize("network", ["hcnn", "bilstm", "pooled_embedding"])
def test_they_take_at_most_a_fifth_of_the_programs(config_of, network, longest):
    for most in (24, 40, 60, 80):
        config = config_of(enc0_network=network, enc0_max_seq_len=longest)
        found = layout(config, max_programs=most)
        assert 5 * len(found.few.pairs()) <= most
        assert len(found.programs()) <= most
        assert found.few.lengths or most < 80
