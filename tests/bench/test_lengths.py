"""The data of all benchmarks."""

import numpy as np
import pytest

from bench import lengths


def test_drawn_lengths_follow_the_histogram():
    counts, _ = lengths.read_histograms("snli")
    rows = lengths.draw(counts, 20_000, vocab_size=50, seed=0)
    mean = (np.arange(len(counts)) * counts).sum() / counts.sum()
    assert rows.lengths.mean() == pytest.approx(mean, rel=0.02)
    assert (rows.ids.min(), rows.ids.max()) == (1, 49)


@pytest.mark.parametrize("name", lengths.list_names())
def test_every_distribution_gives_pairs(name):
    in0, in1 = lengths.draw_pairs(name, 50, vocab_size=9)
    histograms = lengths.read_histograms(name)
    assert len(in0) == len(in1) == 50
    for rows, counts in zip((in0, in1), histograms, strict=True):
        assert 1 <= rows.lengths.min() <= rows.lengths.max() < len(counts)


def test_lognormal_has_its_median_and_its_tail():
    counts = lengths.make_lognormal()
    share = np.cumsum(counts) / counts.sum()
    assert np.searchsorted(share, 0.5) == 20
    assert len(counts) - 1 == lengths.LONGEST
    assert 0 < counts[lengths.LONGEST] < counts[20] / 10


def test_one_user_stands_beside_a_thousand_items():
    in0, in1 = lengths.draw_pairs(lengths.ONE, 1500, vocab_size=9_000)
    users = [tuple(in0.row(r)) for r in (0, 999, 1000, 1499)]
    assert users[0] == users[1] != users[2] == users[3]
    assert len({tuple(in1.row(r)) for r in range(1000)}) > 990
