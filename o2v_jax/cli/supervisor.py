"""On several hosts the training runs in a process of its own, and this one says how it ended.

When a host vanishes, JAX's distributed runtime aborts the processes of the others from within, with
no word that a person would understand and with the status of a crash. A process beside it can say
it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from o2v_jax.cli.streams import say

INSIDE = "O2V_SUPERVISED"  # set for the process that trains
_RELAYED = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
_LOST = "another host was lost, or the connection to it: see its own log, and the lines above"


def is_inside() -> bool:
    """Whether this process is the one that trains."""
    return INSIDE in os.environ


def supervise(failed: Callable[[str], None]) -> int:
    """Runs this command in a process of its own; returns its exit status, 2 if it was aborted.

    `failed` is called with the reason if a signal that nobody sent through here ended that process.
    """
    command = [sys.executable, *sys.orig_argv[1:]]
    # in a session of its own a signal reaches it once, from here
    process = subprocess.Popen(command, env={**os.environ, INSIDE: "1"}, start_new_session=True)
    with _relay_to(process) as relayed:
        status = process.wait()
    if status >= 0:
        return status
    if -status in relayed:  # it came before the process could save anything
        return 128 - status
    aborted = status == -signal.SIGABRT
    reason = _LOST if aborted else f"training was ended by {signal.Signals(-status).name}"
    failed(reason)
    say(f"o2v: {reason}")
    return 2 if aborted else 128 - status


@contextmanager
def _relay_to(process: "subprocess.Popen[bytes]") -> Iterator[set[int]]:
    """Passes signals on; gives those that came."""
    relayed = set[int]()

    def relay(number: int, _frame: FrameType | None) -> None:
        relayed.add(number)
        process.send_signal(number)

    before = [signal.signal(number, relay) for number in _RELAYED]
    try:
        yield relayed
    finally:
        for number, handler in zip(_RELAYED, before, strict=True):
            signal.signal(number, handler)
