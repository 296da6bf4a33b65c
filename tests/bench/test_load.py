"""The load generator against servers whose behaviour is known."""

import http.server
import threading
import time

import pytest

from bench import processes, servers, traffic
from bench.load.figures import compute_percentiles
from bench.load.job import Job, run

pytestmark = pytest.mark.process

BODIES = [b'{"n": 1}', b'{"n": 22}']


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers with 200, 503 every third time, and in chunks; closes after a 503; slow at /slow."""

    protocol_version = "HTTP/1.1"
    seen: list = []  # noqa: RUF012

    def do_GET(self):
        self._answer(200, b"")

    def do_POST(self):
        self.seen.append(self.rfile.read(int(self.headers["Content-Length"])))
        turn = len(self.seen) % 3
        if self.path == "/slow":
            time.sleep(0.3)
        if turn == 0:
            self.close_connection = True
            self._answer(503, b"busy", Connection="close")
        elif turn == 1:
            self._answer(200, b"{}")
        else:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"2\r\n{}\r\n0\r\n\r\n")

    def _answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def port():
    _Handler.seen.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_closed_loop_sends_as_many_requests_as_it_is_told(port):
    found = run(Job(port, connections=2, seconds=20, requests=30), BODIES)
    assert found["by_status"] == {"200": 20, "503": 10}
    assert len(_Handler.seen) == found["answers"] == 30
    assert set(_Handler.seen) == set(BODIES)
    assert found["seconds"] < 10


def test_a_server_slower_than_the_measurement_has_a_rate(port):
    found = run(Job(port, connections=1, seconds=0.1, path="/slow"), BODIES)
    assert found["by_status"] == {"200": 1}
    assert found["seconds"] >= 0.3
    assert found["requests_per_s"] == pytest.approx(1 / found["seconds"], rel=0.01)


def test_an_open_loop_sends_at_its_rate_and_asks_for_pings(port):
    found = run(Job(port, connections=20, seconds=1.0, rate=100, ping_s=0.1), BODIES)
    assert 60 < found["answers"] < 140
    assert found["unsent"] == 0
    assert found["ping_ms"]["p50"] > 0
    assert found["pings_not_200"] == 0
    assert found["refused_after_sending_ms"]["p50"] <= found["refused_ms"]["max"]


def test_latency_counts_from_when_a_request_was_due(port):
    """One connection cannot carry this rate: what waits for it in the client counts."""
    found = run(Job(port, connections=1, seconds=0.5, rate=20_000), BODIES)
    assert found["unsent"] > 0
    assert found["accepted_ms"]["p99"] > 50


def test_percentiles_are_in_milliseconds():
    assert compute_percentiles([0.001, 0.002, 0.003])["p50"] == pytest.approx(2.0)
    assert compute_percentiles([]) is None


def test_a_server_is_started_measured_and_ended():
    with servers.serve_trivial() as server:
        assert 0 < server.wait_until_ready() < processes.TIMEOUT_S
        assert server.post(b"{}") == b"{}"
        memory = server.measure_memory()
        assert 0 < memory.anonymous <= memory.rss <= memory.peak
    with pytest.raises(OSError, match="refused"):
        server.get("/ping")
    assert server.measure_memory().rss == 0


def test_a_server_that_does_not_start_is_told_with_what_it_said():
    with processes.serve("no_such_module") as server:
        began = time.perf_counter()
        with pytest.raises(RuntimeError, match="no_such_module"):
            server.wait_until_ready()
        assert time.perf_counter() - began < 30


def test_bodies_are_requests_of_the_sizes_asked_for(config_of):
    config = config_of(enc0_vocab_size=900)
    assert [body.count(b"in0") for body in traffic.make_bodies(config, 3, 2)] == [2, 2, 2]
    sizes = [len(body) for body in traffic.make_large_bodies(config, 2, 20_000)]
    assert all(19_500 < size <= 20_000 for size in sizes)
    mixed = b"".join(traffic.make_mixed_bodies(config, 40))
    assert b'{"in0":[' in mixed
    assert b'{"in1":[' in mixed
