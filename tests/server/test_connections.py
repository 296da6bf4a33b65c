"""Clients that misbehave on the wire never take the server with them."""

import http.client
import json
import select
import socket
import time
from contextlib import ExitStack

import pytest

from o2v_jax.server.limits import UPLOADS

HEAD = b"POST /invocations HTTP/1.1\r\nHost: o2v\r\nContent-Type: application/json\r\n"
RECORDS = b'{"instances": [{"in0": [1], "in1": [2]}]}'


def exchange(server, data, *, end=False):
    """Everything that the server says to some bytes; closed or reset connections say b""."""
    with server.connect() as connection:
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)
        connection.settimeout(10)
        try:
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n" + RECORDS[:10],
        b"5\r\n{123456789\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n",
        b"ffffffffffffffffffff\r\nhello\r\n",
        b"5;" + b"x" * 70_000 + b"\r\nhello\r\n0\r\n\r\n",
    ],
)
@pytest.mark.usefixtures("still_good")
def test_malformed_chunks(server, body):
    head = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    reply = exchange(server, head + body)
    assert reply == b"" or reply.startswith(b"HTTP/1.1 400 ")


@pytest.mark.usefixtures("still_good")
def test_malformed_chunks_after_a_whole_document(server):
    head = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    reply = exchange(server, head + b"%x\r\n%s\r\nzz\r\n" % (len(RECORDS), RECORDS))
    assert reply == b"" or reply.startswith(b"HTTP/1.1 400 ")


@pytest.mark.usefixtures("still_good")
def test_well_formed_chunks(server):
    head = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in RECORDS)
    assert exchange(server, head + chunks + b"0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.usefixtures("still_good")
def test_a_body_shorter_than_announced(server):
    # What arrives is a whole document, so that only its length tells that something is missing.
    head = HEAD + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % (len(RECORDS) + 1)
    reply = exchange(server, head + RECORDS, end=True)
    assert reply == b"" or reply.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("sent", [0, 10, len(HEAD), len(HEAD) + 30])
@pytest.mark.usefixtures("still_good")
def test_a_client_that_hangs_up(server, sent):
    request = HEAD + b"Content-Length: %d\r\n\r\n" % (len(RECORDS)) + RECORDS
    for _ in range(5):
        with server.connect() as connection:
            connection.sendall(request[:sent])


@pytest.mark.parametrize(
    "data", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
)
@pytest.mark.usefixtures("still_good")
def test_what_is_not_http(server, data):
    reply = exchange(server, data, end=True)
    assert reply == b"" or reply.startswith(b"HTTP/1.1 400 ")


@pytest.mark.usefixtures("still_good")
def test_stalled_uploads_block_neither_ping_nor_others(server, pairs):
    stalled = [server.connect() for _ in range(40)]
    try:
        for connection in stalled:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        assert server.request("GET", "/ping", timeout=2).status == 200
        assert server.request("POST", "/invocations", RECORDS, timeout=5).status == 200
    finally:
        for connection in stalled:
            connection.close()


@pytest.fixture
def stalled_uploads(server):
    """More of them than can be taken, all told apart: those that it reads, and others."""
    count = 3 * UPLOADS
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(count)]
        for connection in connections:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        end = time.monotonic() + 10
        while len(answered := select.select(connections, [], [], 0.1)[0]) < count - UPLOADS:
            assert time.monotonic() < end
        yield [c for c in connections if c not in answered], answered


def test_more_uploads_than_can_be_taken_are_refused_at_once(server, stalled_uploads):
    read, answered = stalled_uploads
    assert len(read) == UPLOADS
    assert {connection.recv(12) for connection in answered} == {b"HTTP/1.1 503"}
    begun = time.monotonic()
    refused = exchange(server, HEAD + b"Content-Length: 1000\r\nConnection: close\r\n\r\n{")
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in refused.lower()
    assert server.request("GET", "/ping", timeout=2).status == 200
    assert time.monotonic() - begun < 2
    for connection in read:
        connection.close()
    wait_until_taken(server)


def wait_until_taken(server):
    end = time.monotonic() + 10
    while (status := server.request("POST", "/invocations", RECORDS).status) != 200:
        assert (status, time.monotonic() < end) == (503, True)


def test_a_client_may_ask_before_it_sends(server):
    with server.connect() as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 41\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(RECORDS)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_connection_is_kept_for_the_next_request(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for body, status in ((RECORDS, 200), (b"{", 400), (RECORDS, 200)):
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        assert (reply.status, reply.getheader("Connection")) == (status, None)
        reply.read()
    connection.close()


@pytest.mark.parametrize(
    "target", ["//invocations", "/endpoints//a//invocations", "http://o2v/invocations?x=1"]
)
def test_paths_that_mean_the_same(server, target):
    head = HEAD.replace(b"/invocations", target.encode()) + b"Content-Length: 41\r\n"
    reply = exchange(server, head + b"Connection: close\r\n\r\n" + RECORDS)
    assert reply.startswith(b"HTTP/1.1 200 ")


UNREAD = [  # what is answered without its body
    ("POST", "/nowhere", {}, 404),
    ("PUT", "/invocations", {}, 405),
    ("POST", "/ping", {}, 405),
    ("POST", "/invocations", {"Content-Encoding": "gzip"}, 415),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), UNREAD)
def test_the_rest_of_a_body_spoils_no_connection(server, method, path, headers, status):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for _ in range(2):
        connection.request(method, path, RECORDS, headers)
        reply = connection.getresponse()
        assert (reply.status, reply.getheader("Connection")) == (status, None)
        reply.read()
    for body in (iter([b" " * 2**20] * 20), b" " * 7_000_000):  # in chunks, and announced
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        assert reply.status == status
        reply.read()
    connection.close()


@pytest.mark.parametrize(("method", "path", "headers", "status"), UNREAD)
def test_a_connection_whose_body_is_missing_is_closed_and_says_so(
    server, method, path, headers, status
):
    words = [f"{method} {path} HTTP/1.1", "Host: o2v", "Content-Length: 1000"]
    words += [f"{name}: {value}" for name, value in headers.items()]
    reply = exchange(server, "\r\n".join([*words, "", "{"]).encode())
    assert reply.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close\r\n" in reply
    assert json.loads(reply.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.usefixtures("still_good")
def test_an_announced_body_over_the_limit_is_refused_before_it_is_sent(server):
    reply = exchange(server, HEAD + b"Content-Length: 6291457\r\nConnection: close\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b"the body has 6291457 bytes, but at most 6291456 can be taken" in reply


@pytest.mark.usefixtures("still_good")
def test_an_endless_body_is_refused_at_the_limit(server):
    # The chunk goes on, but not a byte over the limit is waited for.
    head = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    reply = exchange(server, head + b"fffffff\r\n" + b" " * 6_291_457)
    assert reply.startswith(b"HTTP/1.1 413 ")
