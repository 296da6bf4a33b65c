"""Permits: what is too much is refused at once, and whatever happens all come back."""

import pytest

from o2v_jax.server.http import BusyError
from o2v_jax.server.limits import Permits


def test_what_is_too_much_is_refused_at_once():
    permits = Permits(5)
    with permits.taken(3):
        with pytest.raises(BusyError, match="busy"):
            permits.take(3)
        with permits.taken(2):
            assert permits.free == 0
    permits.take(5)


def test_more_than_there_are_is_never_given_even_to_the_only_one():
    with pytest.raises(BusyError):
        Permits(5).take(6)


def test_the_first_few_get_whatever_they_ask_for():
    permits = Permits(5, always=2)
    with permits.taken(100), permits.taken(100):
        assert permits.free == -195
        with pytest.raises(BusyError):
            permits.take()
    permits.take(5)


def test_an_error_gives_the_permits_back():
    permits = Permits(2)
    for _ in range(3):
        with pytest.raises(KeyError), permits.taken(2):
            raise KeyError
    assert permits.free == 2
