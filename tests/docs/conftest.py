"""Runs the code blocks of a page in order, in a folder of its own beside the checkout's files."""

import doctest
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import jax
import pytest
from doc_examples import is_alike, read_blocks, read_commands

REPOSITORY = Path(__file__).parents[2]
LINKED = ("bench", "checkpoints", "docs", "examples", "o2v_jax", "serving")
PORTS = ("8080", "5000")  # on pages; each page gets free ones instead
SHELL = ("bash", "-euo", "pipefail", "-c")


class _Checker(doctest.OutputChecker):
    def check_output(self, want, got, _optionflags):
        return is_alike(want, got)


class Page:
    """A page while its blocks are run.

    Args:
        path: of the page.
        folder: where its commands are run.
        cache: where they keep compiled programs.
        shell: the folder of the command `o2v`.
    """

    def __init__(self, path, folder, cache, shell):
        self.path, self.folder, self.names = path, folder, {"__name__": "__main__"}
        self.ports, self.servers = {port: str(_free_port()) for port in PORTS}, []
        # commands that the pages name, and packages of this checkout
        search = [str(shell), str(Path(sys.executable).parent), os.environ["PATH"]]
        self.environment = os.environ | {
            # pages train alike models, whose programs are compiled once
            "JAX_COMPILATION_CACHE_DIR": str(cache / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PLATFORMS": "cpu",
            "O2V_CACHE_DIR": str(cache),
            "PATH": os.pathsep.join(search),
            "PYTHONPATH": str(REPOSITORY),
        }
        for name in LINKED:
            (folder / name).symlink_to(REPOSITORY / name)

    def run(self):
        """Runs every block that is not marked."""
        for block in read_blocks(self.path.read_text()):
            if block.treatment == "not run":
                continue
            code = re.sub("|".join(PORTS), lambda found: self.ports[found[0]], block.code)
            if block.treatment == "server":
                self._start(code, block.line)
            elif block.language in RUNNERS:
                RUNNERS[block.language](self, code, block.line)

    def stop(self):
        """Ends the servers of the page, which exit as they should."""
        for server in self.servers:
            server.send_signal(signal.SIGTERM)
        for server in self.servers:
            assert server.wait(30) in {0, 143, -signal.SIGTERM}  # Flask's has no exit of its own

    def shell(self, code, line):
        """A script, which succeeds."""
        done = self._shell(code)
        assert done.returncode == 0, f"{self.path}:{line}: {code}\n{done.stdout}"

    def console(self, code, line):
        """Commands, which print what the page says."""
        for command in read_commands(code):
            done = self._shell(command.text)
            where = f"{self.path}:{line}: {command.text}\n{done.stdout}"
            assert done.returncode == 0, where
            assert is_alike(command.output, done.stdout), where

    def python(self, code, line):
        """A program; the blocks of a page share their names."""
        lines = "\n" * (line - 1)
        with _default_jax():
            exec(compile(lines + code, self.path, "exec"), self.names)

    def pycon(self, code, line):
        """A session, which prints what the page says."""
        test = doctest.DocTestParser().get_doctest(code, {}, self.path.name, str(self.path), line)
        test.globs = self.names
        failures = []
        runner = doctest.DocTestRunner(checker=_Checker())
        with _default_jax():
            runner.run(test, out=failures.append, clear_globs=False)
        assert not runner.failures, "".join(failures)

    def _shell(self, code):
        return subprocess.run(
            [*SHELL, code],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )

    def _start(self, code, line):
        port, log = re.search(r"--port (\d+)", code)[1], self.folder / f"server-{line}.log"
        with log.open("wb") as out:
            server = subprocess.Popen(
                [*SHELL, f"exec {code}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        try:
            _wait_until_ready(server, f"http://127.0.0.1:{port}/ping")
        except AssertionError:
            server.kill()
            server.wait()
            pytest.fail(f"{self.path}:{line}: {code}\n{log.read_text()}")
        self.servers.append(server)


@contextmanager
def _default_jax():
    """Other libraries on a page, such as optax, rely on JAX's defaults, which tests make strict."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


RUNNERS = {
    "bash": Page.shell,
    "console": Page.console,
    "pycon": Page.pycon,
    "python": Page.python,
    "setup": Page.shell,
}


def _wait_until_ready(server, url):
    end = time.monotonic() + 120
    while not _is_ready(url):
        assert server.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)


def _is_ready(url):
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except OSError:
        return False
    return True


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def open_page(tmp_path, monkeypatch, pytestconfig, shell):
    """A function of a path: the page, whose servers end with the test."""
    pages = []

    def open_(path):
        pages.append(Page(path, tmp_path, pytestconfig.cache.mkdir("programs"), shell))
        return pages[-1]

    monkeypatch.chdir(tmp_path)
    yield open_
    for page in pages:
        page.stop()
