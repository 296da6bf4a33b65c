"""Limits: what is too much is refused at once, and whatever happens all is released."""

import io

import pytest

from o2v_jax.errors import InputError
from o2v_jax.server.body import BodyBuffer
from o2v_jax.server.errors import BusyError, TooLargeError
from o2v_jax.server.limits import Limit


def test_what_is_too_much_is_refused_at_once():
    limit = Limit(5)
    with limit.hold(3):
        with pytest.raises(BusyError, match="busy"):
            limit.acquire(3)
        with limit.hold(2):
            assert limit.free == 0
    limit.acquire(5)


def test_more_than_there_are_is_never_given_even_to_the_only_one():
    with pytest.raises(BusyError):
        Limit(5).acquire(6)


def test_the_first_few_get_whatever_they_ask_for():
    limit = Limit(5, always=2)
    with limit.hold(100), limit.hold(100):
        assert limit.free == -195
        with pytest.raises(BusyError):
            limit.acquire()
    limit.acquire(5)


def test_an_error_releases_all():
    limit = Limit(2)
    for _ in range(3):
        with pytest.raises(KeyError), limit.hold(2):
            raise KeyError
    assert limit.free == 2


class Trickle(io.BytesIO):
    """A stream that gives at most three bytes at a time, and counts them."""

    def read(self, size=-1):
        return super().read(min(size, 3) if size >= 0 else 3)


def read_all(stream, announced, limit):
    body = BodyBuffer(announced, limit)
    while part := stream.read(body.room):
        body.add(part)
    return body.complete()


@pytest.mark.parametrize("announced", [None, 10])
def test_a_body_may_be_as_long_as_the_limit(announced):
    assert read_all(Trickle(b"0123456789"), announced, 10) == b"0123456789"


def test_no_more_than_one_byte_over_the_limit_is_read():
    announced, streamed = Trickle(b"0" * 100), Trickle(b"0" * 100)
    with pytest.raises(TooLargeError, match="11 bytes, but at most 10"):
        read_all(announced, 11, 10)
    with pytest.raises(TooLargeError, match="longer than the 10 bytes"):
        read_all(streamed, None, 10)
    assert (announced.tell(), streamed.tell()) == (0, 11)


def test_a_body_that_ends_early_is_refused():
    with pytest.raises(InputError, match="ended after 4 of the 9 announced bytes"):
        read_all(Trickle(b"0123"), 9, 100)
