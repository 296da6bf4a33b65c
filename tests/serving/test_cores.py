import os
from threading import Event, Thread, get_native_id

import pytest

from serving.cores import OnOneCore

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="threads are kept to a core on Linux alone"
)


def affinity(environ, start_response):
    return os.sched_getaffinity(get_native_id())


def in_a_thread(work):
    found = []
    thread = Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_threads_that_answer_share_one_core_and_others_keep_theirs():
    mine, app = os.sched_getaffinity(0), OnOneCore(affinity, [])
    first, second = (in_a_thread(lambda: app({}, None)) for _ in range(2))
    assert len(first) == 1
    assert first == second <= mine
    assert os.sched_getaffinity(0) == mine


def test_a_device_s_thread_goes_there_too():
    stop = Event()
    thread = Thread(target=stop.wait)
    thread.start()
    app = OnOneCore(affinity, [thread])
    assert os.sched_getaffinity(thread.native_id) == in_a_thread(lambda: app({}, None))
    stop.set()


def test_a_system_that_forbids_it_leaves_threads_where_they_are(monkeypatch):
    def forbid(thread, cores):
        raise PermissionError

    mine = os.sched_getaffinity(0)
    monkeypatch.setattr(os, "sched_setaffinity", forbid)
    assert in_a_thread(lambda: OnOneCore(affinity, [Thread()])({}, None)) == mine
