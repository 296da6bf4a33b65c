"""Clients that stand still are let go, those that are slow are not, and /ping answers meanwhile."""

import resource
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import o2v_jax
from o2v_jax import Hyperparameters, Model
from o2v_jax.server.limits import MAX_RESPONSE_FLOATS

STALL_S = 2
IDLE = 1200
WIDTH = 4096
HEAD = b"POST /invocations HTTP/1.1\r\nHost: o2v\r\nContent-Type: application/jsonlines\r\n"
RECORD = b'{"in0": [1]}\n'
# their answer has 80 MB, and takes an eighth of all room
RECORDS = MAX_RESPONSE_FLOATS // WIDTH // 8
SOME = RECORDS // 8


@pytest.fixture(scope="module")
def wide(tmp_path_factory, start_in):
    """A server with long answers and a short timeout."""
    config = Hyperparameters(
        enc0_max_seq_len=8,
        enc0_vocab_size=9,
        enc_dim=WIDTH,
        enc0_token_embedding_dim=WIDTH,
        enc0_network="pooled_embedding",
        num_classes=3,
    )
    directory = tmp_path_factory.mktemp("wide")
    model = o2v_jax.save(Model(config, o2v_jax.init(config, 1)), directory / "model")
    limits = {"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "1"}
    with start_in(directory, "--model", model, "--stall-seconds", STALL_S, **limits) as server:
        server.wait_until_ready()
        yield server
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


@pytest.fixture(scope="module", autouse=True)
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 2 * IDLE
    if resource.RLIM_INFINITY != hard < 2 * enough:
        pytest.skip("a process may open too few files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory_of(server):
    """Bytes that the worker holds."""
    children = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
    (worker,) = Path(children).read_text().split()
    pages = Path(f"/proc/{worker}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def connect(server, room):
    """A connection on which little is under way, so that a client's slowness is soon felt."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", server.port))
    return connection


def read_slowly(connection, seconds, found):
    """Takes as long for an answer; not a byte between one piece of it and the next."""
    begun, got = time.monotonic(), bytearray()
    while not got.endswith(b"\r\n0\r\n\r\n") and (part := connection.recv(2**15)):
        got += part
        if time.monotonic() - begun < seconds:
            time.sleep(0.05)
    found.append(bytes(got))


def ask(connection, records):
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (records * len(RECORD)))
    connection.sendall(records * RECORD)


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def takes_room(server):
    """Whether an answer is begun that needs twice the room that seven of its kind would leave."""
    with server.connect() as connection:
        ask(connection, 2 * RECORDS)
        status = connection.recv(12)[-3:]
    assert status in (b"200", b"503")
    return status == b"200"


def test_stalled_readers_are_let_go_and_slow_ones_are_not(wide):
    with ExitStack() as stack:
        slow = stack.enter_context(connect(wide, 2**16))
        stalled = [stack.enter_context(connect(wide, 4096)) for _ in range(7)]
        found = []
        reader = threading.Thread(target=read_slowly, args=(slow, 3 * STALL_S, found))
        ask(slow, SOME)
        for connection in stalled:
            ask(connection, RECORDS)
        reader.start()
        assert {connection.recv(12) for connection in stalled} == {b"HTTP/1.1 200"}
        held = memory_of(wide)
        assert wide.request("POST", "/invocations", RECORD).status == 200
        reader.join()
        assert found[0].count(b'"embeddings"') == SOME
        assert found[0].endswith(b"\r\n0\r\n\r\n")
        wait_for(lambda: memory_of(wide) < held - len(stalled) * RECORDS * WIDTH * 4 / 2)
        wait_for(lambda: takes_room(wide))
        for connection in stalled:
            assert len(read_all(connection)) < 2**20


def read_all(connection):
    got = bytearray()
    try:
        while part := connection.recv(2**16):
            got += part
    except ConnectionResetError:
        pass
    return got


def test_a_stalled_upload_is_let_go_and_a_slow_one_is_not(wide):
    with wide.connect() as stalled, wide.connect() as slow:
        begun = time.monotonic()
        stalled.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + RECORD)
        slow.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(RECORD))
        for byte in RECORD:
            slow.sendall(bytes([byte]))
            time.sleep(2 * STALL_S / len(RECORD))
        reply = read_all(stalled)
        assert time.monotonic() - begun >= STALL_S
        assert reply.startswith(b"HTTP/1.1 408 ")
        assert b"no part of the body arrived for 2 s" in reply
        assert b"\r\nconnection: close\r\n" in reply
        assert slow.recv(100).startswith(b"HTTP/1.1 200 ")


def test_ping_answers_however_many_connections_are_idle(wide):
    """New ones, those that are kept after an answer, and those whose headers do not end."""
    ping = b"GET /ping HTTP/1.1\r\nHost: o2v\r\n"
    with ExitStack() as stack:
        idle = [stack.enter_context(wide.connect()) for _ in range(IDLE)]
        for connection in idle[: IDLE // 3]:
            connection.sendall(ping + b"\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        for connection in idle[IDLE // 3 : 2 * IDLE // 3]:
            connection.sendall(ping + b"X-Slow: ")
        begun = time.monotonic()
        assert wide.request("GET", "/ping", timeout=2).status == 200
        for connection in idle[:: IDLE // 6]:
            read_all(connection)  # until it is closed
        assert time.monotonic() - begun < 20
