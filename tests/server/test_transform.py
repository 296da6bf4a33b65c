"""`o2v transform --endpoint`: real servers, busy ones, dead ones, and ones that say no."""

import json
import signal
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import numpy as np
import pytest
from forked import Command

pytestmark = pytest.mark.process

PAIR = '{"in0": [%d, %d], "in1": [%d]}\n'


def write_pairs(path, count):
    ids = np.random.default_rng(0).integers(1, 40, (count, 3)).tolist()
    path.write_text("".join(PAIR % tuple(row) for row in ids))
    return path


@pytest.fixture
def lines(tmp_path):
    """A file of 400 pairs."""
    return write_pairs(tmp_path / "a.jsonl", 400)


@pytest.fixture
def many_lines(tmp_path):
    """A file of 40,000 pairs, which is more than a payload of a megabyte."""
    return write_pairs(tmp_path / "a.jsonl", 40_000)


@pytest.fixture
def transform(o2v):
    """Runs `o2v transform FILE --output OUTPUT ARGUMENTS`."""
    return lambda file, output, *arguments: o2v("transform", file, "--output", output, *arguments)


def rows(output, name="a.jsonl"):
    return [json.loads(line) for line in (output / f"{name}.out").read_text().splitlines()]


@contextmanager
def stub(answer):
    """A server on a free port; `answer(number, body)` gives the status, headers and body."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            now = sum(1 for s in seen if not s["ended"]) + 1
            seen.append({"body": body, "ended": False, "at_once": now, "began": time.monotonic()})
            mine = seen[-1]
            status, headers, reply = answer(len(seen), body)
            mine["ended"] = True
            self.send_response(status)
            for name, value in ({"Content-Length": len(reply)} | headers).items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(reply)

        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def echoed(body):
    """As many results as records; each is its record."""
    return 200, {}, b"\n".join(line for line in body.split(b"\n") if line)


def test_the_results_of_a_server_are_those_of_its_model(
    transform, server, tiny_model, many_lines, tmp_path
):
    remote = transform(
        many_lines, tmp_path / "remote", "--endpoint", server.url, "--max-payload", 1
    )
    assert remote.status == 0, remote.err
    assert "40,000 records" in remote.err
    assert "padding" not in remote.err
    local = transform(many_lines, tmp_path / "local", "--model", tiny_model)
    assert local.status == 0, local.err
    found, expected = (
        np.array([row["scores"] for row in rows(tmp_path / name)]) for name in ("remote", "local")
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_bad_record_is_named_in_its_file(transform, server, tmp_path):
    file = tmp_path / "a.jsonl"
    good = [PAIR.strip() % (n % 39, 1, 2) for n in range(1000)]
    file.write_text("\n".join([*good, "", '{"in0": [1, 99], "in1": [1]}', *good, "{"]))
    arguments = (file, tmp_path / "out", "--endpoint", server.url)
    failed = transform(*arguments)
    assert failed.status == 2
    assert f"o2v: {file}:1002 $.in0[1]: 99 is outside the vocabulary 0..39" in failed.err
    skipped = transform(*arguments, "--on-error", "skip")
    assert skipped.status == 0, skipped.err
    assert "2,002 records, 2 of them bad" in skipped.err
    found = rows(tmp_path / "out")
    assert [n for n, row in enumerate(found) if "error" in row] == [1000, 2001]
    assert found[1000]["error"].startswith(f"{file}:1002 $.in0[1]: 99 is outside")
    assert found[2001]["error"].startswith(f"{file}:2003 $: not valid JSON")


def test_documents_joins_and_filters(transform, server, tmp_path):
    document = tmp_path / "c.json"
    bad = {"in0": [99], "in1": [1]}
    document.write_text(json.dumps({"instances": [{"in0": [1], "in1": [2]}, bad], "x": 5}))
    keep = ("--output-filter", "$['x','SageMakerOutput']", "--on-error", "skip")
    arguments = (document, tmp_path / "out", "--endpoint", server.url, "--join-source", "Input")
    done = transform(*arguments, *keep)
    assert done.status == 0, done.err
    (joined,) = rows(tmp_path / "out", "c.json")
    assert joined["x"] == 5
    good, error = joined["SageMakerOutput"]["predictions"]
    assert len(good["scores"]) == 3
    assert error == {
        "error": f"{document} $.instances[1].in0[0]: 99 is outside the vocabulary 0..39"
    }


def test_several_endpoints_two_at_a_time_one_megabyte_each(transform, tmp_path):
    """As in the documented example: four workers, each with two payloads of at most 1 MB."""
    file, line = tmp_path / "a.jsonl", PAIR % (1, 2, 3)
    records = 16 * 2**20 // len(line)
    file.write_text("".join(PAIR % (n % 10, n // 10 % 10, n // 100 % 10) for n in range(records)))

    def slow(number, body):
        time.sleep(0.1)
        return echoed(body)

    with stub(slow) as one, stub(slow) as two, stub(slow) as three, stub(slow) as four:
        stubs = (one, two, three, four)
        endpoints = [word for url, _ in stubs for word in ("--endpoint", url)]
        limits = ("--max-payload", 1, "--max-concurrent-transforms", 2)
        done = transform(file, tmp_path / "out", *endpoints, *limits)
        assert done.status == 0, done.err
    assert (tmp_path / "out" / "a.jsonl.out").read_bytes() == file.read_bytes()
    bodies = [s["body"] for _, seen in stubs for s in seen]
    assert 16 <= len(bodies) <= 17
    assert max(map(len, bodies)) <= 2**20
    assert max(s["at_once"] for _, seen in stubs for s in seen) <= 2
    assert min(len(seen) for _, seen in stubs) >= 2, "the load is balanced"


def test_single_records_are_sent_alone(transform, tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(PAIR % (n, 1, 1) for n in range(20)))
    with stub(lambda _, body: echoed(body)) as (url, seen):
        done = transform(file, tmp_path / "out", "--endpoint", url, "--strategy", "SingleRecord")
        assert done.status == 0, done.err
    sent = sorted(s["body"] for s in seen)
    assert sent == sorted(filter(None, file.read_bytes().split(b"\n")))
    assert [row["in0"][0] for row in rows(tmp_path / "out")] == list(range(20))


def test_a_busy_server_is_asked_again_when_it_says(transform, lines, tmp_path):
    busy = (429, 503, 502)

    def answer(number, body):
        if number > len(busy):
            return echoed(body)
        return busy[number - 1], {"Retry-After": 1}, b"busy"

    with stub(answer) as (url, seen):
        one = ("--max-payload", 0, "--max-concurrent-transforms", 1)
        done = transform(lines, tmp_path / "out", "--endpoint", url, *one)
        assert done.status == 0, done.err
    waits = [after["began"] - before["began"] for before, after in pairwise(seen)]
    assert len(waits) == len(busy)
    assert min(waits) >= 0.9
    assert (tmp_path / "out" / "a.jsonl.out").read_bytes() == lines.read_bytes()


def test_a_dead_endpoint_is_replaced_by_others(transform, server, many_lines, tmp_path):
    with stub(lambda *_: (200, {}, b"")) as (gone, _):
        pass
    both = ("--endpoint", server.url, "--endpoint", gone, "--max-payload", 1)
    done = transform(many_lines, tmp_path / "out", *both, "--strategy", "MultiRecord")
    assert done.status == 0, done.err
    assert len(rows(tmp_path / "out")) == 40_000


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ((404, {}, b"nothing here"), "/invocations: answered 404: nothing here"),
        ((415, {}, b'{"error": "no"}'), "/invocations: answered 415: no"),
        ((200, {}, b'{"scores": [1]}'), "a server gave 1 results for 400 records"),
    ],
)
def test_what_no_repetition_mends_ends_the_run(transform, lines, tmp_path, reply, message):
    with stub(lambda *_: reply) as (url, _):
        done = transform(lines, tmp_path / "out", "--endpoint", url)
    assert done.status == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out" / "a.jsonl.out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--endpoint", "127.0.0.1:8080"), "'127.0.0.1:8080' is not the URL of a server"),
        (("--endpoint", "http://127.0.0.1:1"), "does not answer"),
        (("--endpoint", "http://127.0.0.1:1", "--model", "x"), "leave --model out"),
        (("--endpoint", "http://127.0.0.1:1", "--dtype", "bfloat16"), "leave --dtype out"),
        (("--endpoint", "http://127.0.0.1:1", "--mode", "embedding"), "leave --mode out"),
    ],
)
def test_refusals(transform, lines, tmp_path, arguments, message):
    done = transform(lines, tmp_path / "out", *arguments)
    assert done.status == 2
    assert message in done.err
    assert not (tmp_path / "out").exists()


def test_a_stopped_run_goes_on(transform, server, many_lines, tmp_path):
    """Stopped while a server does not answer: that is no reason to wait."""
    output = tmp_path / "out"
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / f"{name}.jsonl").write_bytes(many_lines.read_bytes())

    def all_but_the_second(number, body):
        return (503, {"Retry-After": 100}, b"") if number == 2 else echoed(body)

    with stub(all_but_the_second) as (url, seen):
        options = ("--endpoint", url, "--max-payload", 6, "--max-concurrent-transforms", 1)
        process = Command("transform", tmp_path / "in", "--output", output, *options)
        while len(seen) < 2 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=10)[1]
        assert process.returncode == 143, err
        assert "the same command resumes" in err
        assert (output / "a.jsonl.out").read_bytes() == many_lines.read_bytes()
        other = transform(tmp_path / "in", output, "--endpoint", server.url, *options[2:])
        assert "unfinished run with other settings (model was of http" in other.err
        done = transform(tmp_path / "in", output, *options)
        assert done.status == 0, done.err
        again = transform(tmp_path / "in", output, *options)
        assert again.status == 2
        reason = "exists already: --no-resume replaces results (a server does not say which model"
        assert f"{output}/a.jsonl.out: {reason}" in again.err
    assert len(seen) == 3
    assert (output / "b.jsonl.out").read_bytes() == many_lines.read_bytes()
