"""Real processes of `o2v` that need not import JAX: a process that has imported it forks them.

To import JAX, Flax and Orbax takes seconds, longer than most commands of these tests work. Python's
fork server does it once for each process that runs tests. What it forks has a pid, a process group,
streams, an environment and a working directory of its own, gets signals itself, and ends with the
status of `o2v_jax.cli.main`.

JAX has no devices yet where it forks, so XLA_FLAGS are read later, by what was forked. Variables
that are read as Python or JAX are imported cannot be changed any more: for others, and to test
starting itself, tests start `python -m o2v_jax`.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import TextIO

# what commands import once they know what they are to do
PRELOADED = [
    "o2v_jax.cli",
    "o2v_jax.evaluation",
    "o2v_jax.preparation",
    "o2v_jax.scoring",
    "o2v_jax.server.asgi",
    "o2v_jax.server.loading",
    "o2v_jax.training",
    "o2v_jax.transform",
    "o2v_jax.tuning",
]
_READ_BEFORE = ("JAX_", "LD_", "PYTHON")

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(PRELOADED)


class Command:
    """A process that runs `o2v ARGUMENTS`, with methods as `subprocess.Popen` has them for text.

    Args:
        arguments: of the command.
        environment: all its variables; None: those of this process.
        stdin: a file descriptor; None: there is no input.
        stdout: a file descriptor; None: a pipe, whose other end is the attribute `stdout`.
        stderr: likewise.
    """

    def __init__(
        self,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        self.args = ["o2v", *map(str, arguments)]
        environment = dict(os.environ if environment is None else environment)
        alike = find_fixed(environment) == find_fixed(os.environ)
        assert alike, "they would not be read: see above"
        source = os.open(os.devnull, os.O_RDONLY) if stdin is None else os.dup(stdin)
        self.stdout, output = _open_output(stdout)
        self.stderr, errors = _open_output(stderr)
        streams = [Connection(descriptor) for descriptor in (source, output, errors)]
        # a daemon: tests that fail leave nothing behind
        self._process = context.Process(
            target=_run, args=(self.args, environment, streams), daemon=True
        )
        self._process.start()
        for stream in streams:
            stream.close()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; raises `subprocess.TimeoutExpired` if there is none in time."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that is still to be read from its pipes, once it has ended."""
        with ThreadPoolExecutor(2) as pool:
            texts = pool.map(_read, (self.stdout, self.stderr))
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            output, errors = texts
        return output, errors

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs `o2v ARGUMENTS` to its end."""
    command = Command(*arguments)
    output, errors = command.communicate(timeout)
    return subprocess.CompletedProcess(command.args, command.returncode, output, errors)


def find_fixed(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are read before a process is forked, and must be alike there."""
    return {name: value for name, value in environment.items() if name.startswith(_READ_BEFORE)}


def _open_output(descriptor: int | None) -> tuple[TextIO | None, int]:
    """Where the test reads, and where the process writes."""
    if descriptor is not None:
        return None, os.dup(descriptor)
    reading, writing = os.pipe()
    return os.fdopen(reading), writing


def _read(pipe: TextIO | None) -> str:
    if pipe is None or pipe.closed:
        return ""
    with pipe:
        return pipe.read()


def _run(args: list[str], environment: Mapping[str, str], streams: list[Connection]) -> None:
    run_command(args, environment, [stream.fileno() for stream in streams])


def run_command(
    args: list[str],
    environment: Mapping[str, str],
    streams: Sequence[int],
    folder: str = ".",
) -> None:
    """Makes the forked process what `python -m o2v_jax` would be, and runs the command.

    Args:
        args: the words of the command line.
        environment: all variables.
        streams: descriptors of standard input, output and error; they are closed.
        folder: its working directory.
    """
    from o2v_jax.cli import main  # noqa: PLC0415 - is there already

    os.setpgid(0, 0)
    os.chdir(folder)
    multiprocessing.set_start_method("fork", force=True)  # this Python's own, not this process's
    multiprocessing.current_process().daemon = False
    os.environ.clear()
    os.environ.update(environment)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    sys.argv, sys.orig_argv = args, [sys.executable, "-m", "o2v_jax", *args[1:]]
    main()
