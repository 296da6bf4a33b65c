"""What is asked of the kernel: room for connections, and this process's sockets."""

import os
import resource
import socket
from pathlib import Path

import pytest

from o2v_jax.server.sockets import _list_sockets, allow_connections


@pytest.mark.parametrize(
    ("hard", "asked", "most"),
    [(resource.RLIM_INFINITY, 4352, 4096), (1 << 20, 4352, 4096), (2048, 2048, 1792)],
)
def test_as_many_connections_as_files_may_be_open(monkeypatch, hard, asked, most):
    held = [(1024, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: held[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: held.append(limits))
    assert allow_connections(4096) == most
    assert held[-1] == (asked, hard)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")
def test_a_socket_that_cannot_be_made_leaves_no_descriptor(monkeypatch):
    def refuse(**_):
        raise OSError(9, "Bad file descriptor")

    with socket.socket():
        before = os.listdir("/proc/self/fd")  # noqa: PTH208
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", refuse)
            assert list(_list_sockets()) == []
        assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_where_there_is_no_proc_there_are_no_sockets(monkeypatch):
    def refuse(_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert list(_list_sockets()) == []
