"""Results in order whatever threads do, a bounded number ahead, errors where they belong."""

import random
import time

import pytest

from o2v_jax.transform.prefetch import map_in_order, prefetch


def test_results_come_in_order():
    rng = random.Random(0)

    def slow(n):
        time.sleep(rng.random() / 200)
        return n

    assert list(map_in_order(slow, range(200), ahead=8, threads=5)) == list(range(200))


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_than_so_many_are_begun(ahead):
    begun = []
    done = map_in_order(lambda n: n, (begun.append(n) or n for n in range(99)), ahead=ahead)
    for handed_out, _ in enumerate(done, 1):
        assert len(begun) <= handed_out + ahead
    assert len(begun) == 99


def test_items_are_made_ahead():
    made = []
    items = prefetch((made.append(n) or n for n in range(20)), ahead=2)
    assert next(items) == 0
    items.close()
    assert 1 <= len(made) <= 4
    assert list(prefetch(iter("abc"), ahead=1)) == ["a", "b", "c"]
    assert list(prefetch(iter(()), ahead=5)) == []


def test_an_error_comes_after_the_results_before_it():
    def items():
        yield from (1, 2)
        raise ValueError("three")

    seen = []
    with pytest.raises(ValueError, match="three"):
        seen.extend(prefetch(items(), ahead=5))
    with pytest.raises(ZeroDivisionError):
        seen.extend(map_in_order(lambda n: 1 / n, [1, 2, 0, 3], ahead=9, threads=2))
    assert seen == [1, 2, 1, 0.5]
