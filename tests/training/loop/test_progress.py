"""Early stopping replays what the original's logs show."""

import pytest

from o2v_jax.training.loop.progress import Verdict, judge

PUBLISHED = [0.2085, 0.1976, 0.2025, 0.1813, 0.1969, 0.1930, 0.1977]


def test_the_published_run_is_replayed():
    bad = [judge(PUBLISHED[: n + 1], 2, 0.01).bad for n in range(len(PUBLISHED))]
    stops = [judge(PUBLISHED[: n + 1], 2, 0.01).stop for n in range(len(PUBLISHED))]
    assert bad == [0, 0, 1, 0, 1, 2, 3]
    assert stops == [False] * 6 + [True]
    assert judge(PUBLISHED, 2, 0.01).best == 3


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([1.0], 1, Verdict(bad=0, best=0, stop=False)),
        ([1.0, 0.98], 1, Verdict(bad=0, best=1, stop=False)),
        # lower, but by less than the tolerance: a bad epoch that is still the best
        ([1.0, 0.995], 1, Verdict(bad=1, best=1, stop=False)),
        ([1.0, 1.0, 1.0], 1, Verdict(bad=2, best=0, stop=True)),
        # only the last `patience` epochs are looked at
        ([1.0, 2.0, 1.5], 1, Verdict(bad=0, best=0, stop=False)),
        ([1.0, 2.0, 1.5], 2, Verdict(bad=2, best=0, stop=False)),
    ],
)
def test_verdicts(losses, patience, expected):
    assert judge(losses, patience, 0.01) == expected


@pytest.mark.parametrize("worst", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run_and_is_never_best(worst):
    assert judge([worst], 3, 0.01).stop
    verdict = judge([0.5, worst], 3, 0.01)
    assert (verdict.best, verdict.stop) == (0, True)
