"""Programs of a stream are started in order, and those of two streams at the same time."""

from threading import Barrier, get_ident

import numpy as np
import pytest

from o2v_jax.scoring.streams import Stream


def add_to(table, row, number):
    return [*table, (row, number)], row + 1


@pytest.mark.parametrize("in_thread", [False, True])
def test_programs_of_a_stream_are_started_in_order(in_thread):
    stream = Stream([], in_thread=in_thread)
    for _ in range(2):
        stream.next_row = 0
        for number in range(50):
            stream.run(add_to, number)
        stream.wait()
    assert stream.encodings == 2 * [(number, number) for number in range(50)]


def test_streams_run_at_the_same_time():
    both = Barrier(2, timeout=60)

    def meet(table, row):
        both.wait()
        return get_ident(), row

    other, own = Stream(None, in_thread=True), Stream(None, in_thread=False)
    other.run(meet)
    own.run(meet)
    other.wait()
    assert own.encodings == get_ident() != other.encodings


def test_what_fails_in_a_thread_is_raised_to_who_waits():
    stream = Stream(np.zeros(1), in_thread=True)
    stream.run(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stream.wait()
    stream.run(lambda table, row: (table, row))
    stream.wait()
