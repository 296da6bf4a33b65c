"""The batcher with threads, and devices that tests hold up and break. Nobody is left waiting."""

import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait

import numpy as np
import pytest

from o2v_jax.data.ragged import Ragged
from o2v_jax.server.batcher import Batcher
from o2v_jax.server.errors import BatchFailedError, BusyError
from o2v_jax.server.queue import ScoringTask, Waiting

CHUNK = 10
CHUNKS_PER_BATCH = 16
BACKLOG_CHUNKS = 4


class Device:
    """Gives every record its length, in order, when it is let."""

    def __init__(self):
        self.calls, self.batches, self.error = [], [], None
        self.started, self.may_go = threading.Semaphore(0), threading.Event()
        self.may_go.set()

    def compute(self, task, sides):
        self.calls.append((task, sides[0].lengths.tolist()))
        error = self.error
        self.started.release()
        assert self.may_go.wait(10)
        if error:
            raise error
        return np.float32(sum(side.lengths for side in sides))[:, None]

    def observe(self, records, tokens):
        self.batches.append((records, tokens))


@pytest.fixture
def device():
    device = Device()
    yield device
    device.may_go.set()


@pytest.fixture
def batcher(device):
    batcher = Batcher([device.compute], CHUNK, device.observe, chunks_per_batch=CHUNKS_PER_BATCH)
    yield batcher
    batcher.close()


@pytest.fixture
def busy(batcher, device):
    """The batcher while a first request, of length 1, is held up on the device."""
    device.may_go.clear()
    first = submit(batcher, [[1]])
    assert device.started.acquire(timeout=10)
    yield batcher
    device.may_go.set()
    finishes(first)


@pytest.fixture
def backlogged(device):
    """As `busy`, but a second thread takes a backlog."""
    batcher = Batcher(
        [device.compute],
        CHUNK,
        device.observe,
        backlog=BACKLOG_CHUNKS,
        chunks_per_batch=CHUNKS_PER_BATCH,
    )
    device.may_go.clear()
    submit(batcher, [[1]])
    assert device.started.acquire(timeout=10)
    yield batcher
    device.may_go.set()
    batcher.close()


@pytest.fixture
def devices():
    devices = Device(), Device()
    devices[1].started = devices[0].started
    yield devices
    for device in devices:
        device.may_go.set()


@pytest.fixture
def pair(devices):
    """A batcher of two devices."""
    batcher = Batcher(
        [device.compute for device in devices],
        CHUNK,
        lambda *_: None,
        chunks_per_batch=CHUNKS_PER_BATCH,
    )
    yield batcher
    batcher.close()


def submit(batcher, *sides, task=ScoringTask.IN0):
    return batcher.submit(task, tuple(map(Ragged.of, sides)))


def long_request(batcher, length=4, records=100):
    return submit(batcher, [[i] * length for i in range(records)])


def lengths(batcher, future):
    return batcher.result(future)[:, 0].tolist()


def finishes(future):
    return bool(wait([future], 10).done)


def test_a_lone_request_is_a_batch(batcher, device):
    assert lengths(batcher, submit(batcher, [[1, 2], []])) == [2, 0]
    assert (device.calls, device.batches) == ([(ScoringTask.IN0, [2, 0])], [(2, 4)])


def test_what_waits_is_one_batch_in_order_of_arrival(busy, device):
    futures = [submit(busy, [[1] * n]) for n in range(2, 6)]
    assert busy.waiting == Waiting(4, 4)
    device.may_go.set()
    assert [lengths(busy, future) for future in futures] == [[2], [3], [4], [5]]
    assert [call for _, call in device.calls] == [[1], [2, 3, 4, 5]]
    assert busy.waiting == Waiting(0, 0)


def test_each_task_has_a_call_of_its_own(busy, device):
    futures = [
        submit(busy, [[1, 2]], [[1]], task=ScoringTask.PAIRS),
        submit(busy, [[1, 2, 3]]),
        submit(busy, [[4]], task=ScoringTask.IN1),
        submit(busy, [[]], [[1]], task=ScoringTask.PAIRS),
    ]
    device.may_go.set()
    assert [lengths(busy, future) for future in futures] == [[3], [3], [1], [1]]
    calls = [
        (ScoringTask.IN0, [1]),
        (ScoringTask.PAIRS, [2, 0]),
        (ScoringTask.IN0, [3]),
        (ScoringTask.IN1, [1]),
    ]
    assert device.calls == calls


def test_a_batch_ends_with_its_budget(busy, device):
    futures = [submit(busy, [[1] * (CHUNK - 1)]) for _ in range(CHUNKS_PER_BATCH + 1)]
    device.may_go.set()
    for future in futures:
        busy.result(future)
    assert [len(call) for _, call in device.calls] == [1, CHUNKS_PER_BATCH, 1]


def test_a_small_request_does_not_wait_for_the_whole_of_a_large_one(batcher, device):
    device.may_go.clear()
    large = long_request(batcher, 4, 400)
    assert device.started.acquire(timeout=10)
    small = submit(batcher, [[1]])
    device.may_go.set()
    assert (lengths(batcher, large), lengths(batcher, small)) == ([4] * 400, [1])
    assert len(device.calls) > 10
    assert [1 in call for _, call in device.calls].index(True) == 1


def test_a_backlog_is_taken_up_while_the_device_is_at_work(backlogged, device):
    """But not a little less than that, which is a better batch later."""
    little = [submit(backlogged, [[1] * (CHUNK - 1)]) for _ in range(BACKLOG_CHUNKS - 1)]
    assert not device.started.acquire(timeout=0.1)
    little.append(submit(backlogged, [[1] * (CHUNK - 1)]))
    assert device.started.acquire(timeout=10)
    assert backlogged.waiting == Waiting(0, 0)
    late = submit(backlogged, [[1] * 200] * 2)
    assert not device.started.acquire(timeout=0.1)  # both threads are at work
    device.may_go.set()
    assert [lengths(backlogged, future) for future in little] == [[CHUNK - 1]] * BACKLOG_CHUNKS
    assert lengths(backlogged, late) == [200, 200]


def test_a_device_that_fails_with_two_batches_leaves_nobody_waiting(backlogged, device):
    device.error = RuntimeError("the device is lost")
    futures = [submit(backlogged, [[1] * (CHUNK - 1)]) for _ in range(BACKLOG_CHUNKS)]
    assert device.started.acquire(timeout=10)
    device.may_go.set()
    for future in futures:
        with pytest.raises(BatchFailedError):
            backlogged.result(future)
    device.error = None
    assert lengths(backlogged, submit(backlogged, [[1]])) == [1]


def test_closing_ends_the_batches_of_both_threads(backlogged, device):
    futures = [submit(backlogged, [[1] * (CHUNK - 1)]) for _ in range(BACKLOG_CHUNKS)]
    assert device.started.acquire(timeout=10)
    threading.Timer(0.1, device.may_go.set).start()
    backlogged.close()
    assert [lengths(backlogged, future) for future in futures] == [[CHUNK - 1]] * BACKLOG_CHUNKS
    with pytest.raises(BusyError):
        submit(backlogged, [[1]])


def test_a_backlog_goes_to_a_device_that_is_not_at_work(devices):
    for device in devices:
        device.may_go.clear()
    batcher = Batcher(
        [d.compute for d in devices],
        CHUNK,
        lambda *_: None,
        backlog=BACKLOG_CHUNKS,
        chunks_per_batch=CHUNKS_PER_BATCH,
    )
    futures = []
    for _ in devices:
        futures.append(submit(batcher, [[1] * (CHUNK * BACKLOG_CHUNKS)]))
        assert devices[0].started.acquire(timeout=10)
    assert [len(device.calls) for device in devices] == [1, 1]
    futures.append(submit(batcher, [[1] * (CHUNK * BACKLOG_CHUNKS)]))  # now a second thread may
    assert devices[0].started.acquire(timeout=10)
    for device in devices:
        device.may_go.set()
    assert [lengths(batcher, future) for future in futures] == [[CHUNK * BACKLOG_CHUNKS]] * 3
    batcher.close()


def test_large_requests_take_turns_and_small_ones_do_not_starve_them(busy, device):
    one, two = long_request(busy, 4, 160), long_request(busy, 3, 160)
    small = [submit(busy, [[1]]) for _ in range(40)]
    device.may_go.set()
    assert lengths(busy, one) + lengths(busy, two) == [4] * 160 + [3] * 160
    assert all(lengths(busy, future) == [1] for future in small)
    assert {4, 3, 1} == set(device.calls[1][1])
    shared = [{4, 3} <= set(call) for _, call in device.calls]
    assert sum(shared) > 5


@pytest.mark.parametrize("error", [RuntimeError("lost"), MemoryError(), KeyError("x")])
def test_a_failing_call_fails_its_requests_alone_and_the_thread_lives_on(busy, device, error):
    device.error = error
    futures = [submit(busy, [[1]]), long_request(busy)]
    other = submit(busy, [[1]], task=ScoringTask.IN1)
    device.may_go.set()
    for future in futures:
        with pytest.raises(BatchFailedError) as caught:
            busy.result(future)
        assert caught.value.__cause__ is error
    with pytest.raises(BatchFailedError):
        busy.result(other)
    device.error = None
    assert busy.waiting == Waiting(0, 0)
    assert lengths(busy, submit(busy, [[1, 2]])) == [2]
    assert busy.alive


def test_of_a_request_that_failed_no_other_chunk_is_computed(batcher, device):
    device.error = RuntimeError()
    with pytest.raises(BatchFailedError):
        batcher.result(long_request(batcher))
    device.error = None
    batcher.result(submit(batcher, [[1]]))
    assert [4 in call for _, call in device.calls] == [True, False]


def test_a_request_that_no_device_takes_in_time_is_withdrawn(device):
    batcher = Batcher(
        [device.compute], CHUNK, device.observe, timeout_s=0.05, chunks_per_batch=CHUNKS_PER_BATCH
    )
    device.may_go.clear()
    begun = long_request(batcher)
    assert device.started.acquire(timeout=10)
    with pytest.raises(BusyError, match=r"busy for 0\.05 s"):
        batcher.result(submit(batcher, [[1]]))
    assert batcher.waiting.requests == 1  # the rest of what was begun
    threading.Timer(0.2, device.may_go.set).start()
    assert lengths(batcher, begun) == [4] * 100  # the timeout is for the beginning only
    assert not any(1 in call for _, call in device.calls)
    batcher.close()


def test_a_future_that_is_cancelled_is_not_scored(busy, device):
    first, cancelled, last = (submit(busy, [[1] * n]) for n in (2, 3, 4))
    assert cancelled.cancel()
    assert busy.waiting == Waiting(2, 2)
    assert finishes(cancelled)
    device.may_go.set()
    assert (lengths(busy, first), lengths(busy, last)) == ([2], [4])
    assert [call for _, call in device.calls] == [[1], [2, 4]]
    with pytest.raises(BusyError):
        busy.result(cancelled)


def test_where_all_are_cancelled_the_device_waits_for_the_next(busy, device):
    for _ in range(5):
        assert submit(busy, [[1, 2]]).cancel()
    assert busy.waiting == Waiting(0, 0)
    device.may_go.set()
    assert lengths(busy, submit(busy, [[1] * 3])) == [3]
    assert [call for _, call in device.calls] == [[1], [3]]


def test_a_future_that_a_device_has_taken_cannot_be_cancelled(batcher, device):
    device.may_go.clear()
    future = long_request(batcher)
    assert device.started.acquire(timeout=10)
    assert not future.cancel()
    device.may_go.set()
    assert lengths(batcher, future) == [4] * 100


def test_of_a_future_that_is_abandoned_no_other_chunk_is_computed(batcher, device):
    device.may_go.clear()
    future = long_request(batcher)
    assert device.started.acquire(timeout=10)
    batcher.abandon(future)
    assert isinstance(future.exception(10), CancelledError)
    assert batcher.waiting == Waiting(0, 0)
    device.may_go.set()
    assert lengths(batcher, submit(batcher, [[1]])) == [1]
    assert [4 in call for _, call in device.calls] == [True, False]


def test_what_is_finished_is_not_abandoned(batcher):
    future = submit(batcher, [[1]])
    assert lengths(batcher, future) == [1]
    batcher.abandon(future)
    assert lengths(batcher, future) == [1]


def test_futures_that_are_cancelled_while_devices_take_them(pair):
    """Each is either cancelled or scored, and none is counted as waiting for ever."""

    def ask(seed):
        future = submit(pair, [[1] * (1 + seed % 5)] * (1 + seed % 40))
        if seed % 3 == 0:
            future.cancel()
        elif seed % 3 == 1:
            pair.abandon(future)
        return finishes(future)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(600)))
    assert lengths(pair, submit(pair, [[1]])) == [1]
    assert pair.waiting == Waiting(0, 0)
    assert pair.alive


def test_closing_ends_the_batch_at_hand_and_resolves_everyone(busy, device):
    large, small = long_request(busy), submit(busy, [[1]])
    with ThreadPoolExecutor(3) as pool:
        replies = [pool.submit(busy.result, future) for future in (large, small)]
        closing = pool.submit(busy.close)
        while busy.alive:
            pass
        device.may_go.set()
        closing.result(10)
        for reply in replies:
            with pytest.raises(BusyError, match="stopping"):
                reply.result(10)
    with pytest.raises(BusyError, match="stopping"):
        submit(busy, [[1]])
    busy.close()


def test_closing_does_not_wait_for_a_device_that_hangs(busy):
    future = submit(busy, [[1]])
    busy.close(seconds=0.05)
    with pytest.raises(BusyError, match="stopping"):
        busy.result(future)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_leaves_nobody_waiting(busy, device):
    device.error = SystemExit()
    futures = [submit(busy, [[1]]), long_request(busy), submit(busy, [[1]], task=ScoringTask.IN1)]
    device.may_go.set()
    for future in futures:
        with pytest.raises(BusyError, match="stopping"):
            busy.result(future)
    assert not busy.alive


def submitted_one_by_one(batcher, devices):
    """A request on each device, held up there."""
    futures = []
    for device in devices:
        device.may_go.clear()
    for _ in devices:
        futures.append(submit(batcher, [[1]]))
        assert devices[0].started.acquire(timeout=10)
    return futures


def test_devices_work_at_a_time(pair, devices):
    futures = submitted_one_by_one(pair, devices)
    devices[1].may_go.set()
    end = time.monotonic() + 10
    while not any(future.done() for future in futures):
        assert time.monotonic() < end
    assert not all(future.done() for future in futures)  # the other one is held up
    devices[0].may_go.set()
    assert [lengths(pair, future) for future in futures] == [[1], [1]]
    assert [len(device.calls) for device in devices] == [1, 1]


def test_a_failing_device_takes_no_other_with_it(pair, devices):
    """Chunks that fail here may be about to be taken up there."""
    devices[0].error = RuntimeError()
    for _ in range(200):
        futures = [long_request(pair), submit(pair, [[1]])]
        for future in futures:
            assert finishes(future)
    assert pair.alive
    assert devices[1].calls


def test_a_large_request_is_shared_by_the_devices(pair, devices):
    for device in devices:
        device.may_go.clear()
    future = submit(pair, [[i] * (1 + i % 4) for i in range(100)])
    assert all(devices[0].started.acquire(timeout=10) for _ in devices)
    for device in devices:
        device.may_go.set()
    assert lengths(pair, future) == [1 + i % 4 for i in range(100)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_device_whose_thread_dies_ends_the_others_after_their_batch(pair, devices):
    devices[0].error = SystemExit()
    futures = submitted_one_by_one(pair, devices)
    futures.append(submit(pair, [[1]]))
    devices[0].may_go.set()
    while pair.alive:
        pass
    devices[1].may_go.set()
    for future in futures:
        assert finishes(future)
    assert sorted(future.exception() is None for future in futures) == [False, False, True]


def test_many_threads_get_their_own_results(batcher):
    def ask(seed):
        sizes = np.random.default_rng(seed).integers(0, 9, 1 + seed % 30)
        return lengths(batcher, submit(batcher, [[1] * n for n in sizes])) == sizes.tolist()

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(500)))
