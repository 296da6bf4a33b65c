"""`o2v` for shells under test: a small program whose work a forked process does.

Scripts and pages run `o2v` many times over, and each time would import JAX for seconds. The program
that they find on their PATH instead hands its arguments, environment, working directory and streams
to a process that has imported JAX, which forks one that runs the command (see `forked`). It passes
on the signals that it gets, and ends as the command ends.

Where variables are set that Python or JAX would have read before, it becomes `python -m o2v_jax`.
"""

import gc
import json
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from forked import context, find_fixed, run_command

# what a command finds in the process that forks it, sets by itself, or does not read
_ANYWAY = {
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    "PYTHON",
    "PYTHONPATH",
}
_PROGRAM = """#!{python} -IS
import json, os, signal, socket, sys

link = socket.socket(socket.AF_UNIX)
link.connect({address!r})
asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(link, [len(asked).to_bytes(4, "big")], [0, 1, 2])
link.sendall(asked)
answers = link.makefile()
pid = int(answers.readline())
if not pid:
    os.execv({python!r}, [{python!r}, "-m", "o2v_jax", *sys.argv[1:]])


def pass_on(number, _):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, pass_on)
status = int(answers.readline())
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


@contextmanager
def open_shell() -> Iterator[Path]:
    """A folder that holds the program `o2v`, which works until the block ends."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        address = f"{folder}/commands"
        listener.bind(address)
        listener.listen()
        program = Path(folder) / "o2v"
        program.write_text(_PROGRAM.format(python=sys.executable, address=address))
        program.chmod(0o755)
        process = context.Process(target=_listen, args=(listener,), daemon=True)
        process.start()
        try:
            yield program.parent
        finally:
            process.terminate()
            process.join()


def _listen(listener: socket.socket) -> None:
    """Forks a process for each command that is asked for, and tells how it ended."""
    multiprocessing.current_process().daemon = False  # it has children
    gc.freeze()  # they need not look through what is there already, nor copy it
    running: dict[int, tuple[BaseProcess, socket.socket]] = {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        while True:
            for ready in wait([listener, *running]):
                if ready is listener:
                    link, _ = listener.accept()
                    process = _start(link)
                    if process:
                        running[process.sentinel] = process, link
                else:
                    process, link = running.pop(ready)
                    process.join()
                    _answer(link, process.exitcode)
                    link.close()
    finally:  # tests that fail leave nothing behind
        for process, _ in running.values():
            os.killpg(process.pid, signal.SIGKILL)  # a server has workers


def _start(link: socket.socket) -> BaseProcess | None:
    """Starts the command that a program asks for; None: it is to do so by itself."""
    size, streams, _, _ = socket.recv_fds(link, 4, 3)
    with link.makefile("rb") as file:
        arguments, folder, environment = json.loads(file.read(int.from_bytes(size, "big")))
    process = None
    if _find_unlike(environment) == _find_unlike(os.environ):
        command = (["o2v", *arguments], environment, streams, folder)
        process = multiprocessing.get_context("fork").Process(target=_run, args=command)
        process.start()
    _answer(link, process.pid if process else 0)
    for stream in streams:
        os.close(stream)
    return process


def _run(*command: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    run_command(*command)


def _find_unlike(environment: Mapping[str, str]) -> dict[str, str]:
    fixed = find_fixed(environment)
    return {name: value for name, value in fixed.items() if name not in _ANYWAY}


def _answer(link: socket.socket, number: int | None) -> None:
    try:
        link.sendall(f"{number}\n".encode())
    except OSError:
        return  # nobody waits any more: the program was killed
