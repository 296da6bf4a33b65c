"""Hard negatives of records: found, taken and chosen as lists of lists would be."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from o2v_jax.data.negatives import NO_NEGATIVES, Negatives

LISTS = st.lists(st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=4), max_size=6)


@given(LISTS, st.data())
def test_they_are_taken_and_joined_as_lists(lists, data):
    negatives = Negatives.of(lists)
    wanted = data.draw(
        st.lists(st.sampled_from(range(len(lists))), max_size=8) if lists else st.just([])
    )
    taken = negatives.take(np.array(wanted, np.int8))
    assert taken.to_lists(len(wanted)) == [lists[record] for record in wanted]
    joined = Negatives.concatenate([negatives, NO_NEGATIVES, taken], [len(lists), 2, len(wanted)])
    assert joined.to_lists(len(lists) + 2 + len(wanted)) == [
        *lists,
        [],
        [],
        *taken.to_lists(len(wanted)),
    ]


@given(LISTS, st.integers(0, 5), st.integers(0, 2**31))
def test_so_many_are_chosen_and_none_twice(lists, most, first):
    negatives = Negatives.of(lists)
    chosen = negatives.choose(np.arange(len(lists), dtype=np.int8), most, first)
    assert len({*chosen.tolist()}) == len(chosen)
    counts = np.bincount(negatives.records[chosen], minlength=len(lists))
    assert counts.tolist() == [min(len(rows), most) for rows in lists]


def test_each_is_as_likely_as_the_others():
    negatives = Negatives.of([[], [[1]] * 5])
    chosen = [negatives.choose(np.array([1]), 2, first) for first in range(5)]
    assert np.bincount(np.concatenate(chosen)).tolist() == [2] * 5
