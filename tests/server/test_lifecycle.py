"""From start to SIGTERM, with real processes: warm-up, settings, draining, wrong settings."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import o2v_jax

pytestmark = pytest.mark.process

RECORDS = b'{"instances": [{"in0": [1], "in1": [2]}]}'
MANY = b"\n".join(
    b'{"in0": [%d, %d], "in1": [%d]}' % (i % 37, i % 31, i % 29) for i in range(60_000)
)
FLASK = "flask --app serving.app run"
HEAD = b"POST /invocations HTTP/1.1\r\nHost: o2v\r\nContent-Type: application/json\r\n"
HEAD_OF_LINES = HEAD.replace(b"application/json", b"application/jsonlines")


def begin_upload(server, sent):
    connection = server.connect()
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(RECORDS) + RECORDS[:sent])
    return connection


def test_ping_is_empty_and_quick(server):
    reply = server.request("GET", "/ping", timeout=2)
    assert (reply.status, reply.body) == (200, b"")


def test_settings_of_a_batch_job(start, short_model):
    environment = {
        "O2V_MODEL": str(short_model),
        "SAGEMAKER_BATCH": "True",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "20",
        "SAGEMAKER_BATCH_STRATEGY": "SingleRecord",
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/jsonlines",
        "INFERENCE_PREFERRED_MODE": "embedding",
    }
    with start(**environment) as server:
        server.wait_until_ready()
        assert server.request("GET", "/execution-parameters").json == {
            "MaxConcurrentTransforms": 4,
            "BatchStrategy": "SINGLE_RECORD",
            "MaxPayloadInMB": 20,
        }
        large = RECORDS.ljust(20 * 2**20)
        reply = server.invoke(large)
        assert reply.headers["Content-Type"] == "application/jsonlines"
        assert len(json.loads(reply.body)["scores"]) == 3
        over = {"Content-Length": str(len(large) + 1)}
        assert server.request("POST", "/invocations", headers=over).status == 413
        assert server.stop() == 0


def test_an_empty_cache_shows_the_warm_up(start, short_model, tmp_path):
    module, cold = "o2v_jax serve", str(tmp_path / "cold")
    with start("--model", short_model, module=module, O2V_CACHE_DIR=cold) as server:
        while (status := ping_status(server)) is None:
            time.sleep(0.01)
        assert status == 503
        assert server.invoke(RECORDS).status == 200
        server.wait_until_ready()
        log = server.log.read_text()
        assert log.index(f"serving {short_model} at {server.url}") < log.index("warm and ready")
        assert server.stop() == 0


def ping_status(server):
    try:
        return server.request("GET", "/ping", timeout=2).status
    except OSError:
        return None


def test_sigterm_finishes_what_is_in_flight(start, short_model):
    with start("--model", short_model) as server:
        server.wait_until_ready()
        upload, kept = begin_upload(server, 10), server.connect()
        kept.sendall(b"GET /ping HTTP/1.1\r\nHost: o2v\r\n\r\n")
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
        computing = server.connect()
        computing.sendall(HEAD_OF_LINES + b"Content-Length: %d\r\n\r\n" % len(MANY) + MANY)
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        assert kept.recv(65536) == b""  # closed
        kept.close()
        assert ping_status(server) is None  # refused: nobody sends more work here
        upload.sendall(RECORDS[10:])
        assert upload.recv(65536).startswith(b"HTTP/1.1 200 ")
        upload.close()
        answer = b"".join(iter(lambda: computing.recv(2**20), b""))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b'{"scores":') == 60_000
        computing.close()
        assert server.process.wait(10) == 0


def test_sigterm_gives_a_stalled_upload_up(start, short_model):
    with start("--model", short_model, "--drain-seconds", 2) as server:
        server.wait_until_ready()
        upload = begin_upload(server, 10)
        time.sleep(0.2)
        begun = time.monotonic()
        assert server.stop() == 0
        assert 1.5 < time.monotonic() - begun < 8
        upload.close()


@pytest.fixture(scope="module")
def start_module(start_in, tmp_path_factory):
    """Starts a server for several tests, of which the last ends it."""
    return lambda *arguments, **environment: start_in(
        tmp_path_factory.mktemp("server"), *arguments, **environment
    )


@pytest.fixture(scope="module")
def by_option(start_module, short_model):
    with start_module("--model", short_model, "--dtype", "bfloat16") as server:
        server.wait_until_ready()
        yield server


@pytest.fixture(scope="module")
def by_environment(start_module, short_model):
    with start_module("--model", short_model, O2V_DTYPE="bfloat16") as server:
        server.wait_until_ready()
        yield server


@pytest.mark.parametrize("by", ["by_option", "by_environment"])
def test_a_server_may_hold_its_encoders_in_bfloat16(request, short_model, by):
    server = request.getfixturevalue(by)
    (found,) = server.invoke('{"instances": [{"in0": [3, 4], "in1": [5]}]}').json["predictions"]
    model, pair = o2v_jax.load(short_model), ([[3, 4]], [[5]])
    exact, expected = (
        o2v_jax.Scorer(model, dtype=dtype).score(*pair) for dtype in ("float32", "bfloat16")
    )
    np.testing.assert_allclose(found["scores"], expected[0], atol=1e-6)
    assert np.abs(exact - expected).max() > 1e-5


def test_control_c_stops_all_processes_at_once(by_option):
    os.killpg(by_option.process.pid, signal.SIGINT)
    assert by_option.process.wait(10) == 0


def test_a_worker_that_dies_is_not_passed_over(by_environment):
    process = by_environment.process
    (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    assert process.wait(10) == 1
    assert "Unexpected exit from worker-1" in by_environment.log.read_text()


TWO_DEVICES = {
    "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2",
}


def device_bytes(server):
    text = server.request("GET", "/metrics").body.decode()
    return float(text.split("\no2v_device_bytes ")[1].split()[0])


def wait_until_warm(server):
    server.wait_until_ready()
    end = time.monotonic() + 60
    while "\no2v_warm 1.0" not in server.request("GET", "/metrics").body.decode():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_server_works_on_every_device(start, short_model):
    held = {}
    for devices in ("1", "2"):
        with start("--model", short_model, "--devices", devices, **TWO_DEVICES) as server:
            wait_until_warm(server)  # until then rows are padded to other shapes
            parameters = device_bytes(server)  # before there are tables of encodings
            held[devices] = server.invoke(MANY, "application/jsonlines").body, parameters
    assert held["1"][0] == held["2"][0]
    assert held["2"][1] > 1.5 * held["1"][1]


def test_more_devices_than_there_are(start, short_model):
    with start("--model", short_model, O2V_DEVICES="3", **TWO_DEVICES) as server:
        assert "3 devices were asked for, but JAX finds 2" in complaint_of(server, 2, "o2v: ")


def test_the_default_drain_ends_before_sagemaker_kills():
    from o2v_jax.server.run import DRAIN_S  # noqa: PLC0415

    assert DRAIN_S <= 25


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {"INFERENCE_PREFERRED_MODE": "speed"}, "must be classification or embedding"),
        ([], {"SAGEMAKER_BIND_TO_PORT": "x"}, "SAGEMAKER_BIND_TO_PORT=x must be an integer"),
        (["--model", "/nowhere"], {}, "/nowhere does not exist: name a model directory"),
        (["--model", "/dev/null"], {}, "/dev/null is neither a model directory nor a .tar.gz"),
        (["--model", "/dev"], {}, "/dev holds no config.json"),
        (["--model", __file__], {}, "test_lifecycle.py is neither a model directory nor"),
        (["--host", "256.0.0.1"], {}, "cannot listen on 256.0.0.1 port"),
    ],
)
def test_a_server_that_cannot_start_says_why(start, short_model, arguments, environment, message):
    with start("--model", short_model, *arguments, **environment) as server:
        assert complaint_of(server, 2, "o2v: ").find(message) >= 0


def complaint_of(server, status, beginning):
    """The one line that a server says that ends with this status."""
    assert server.process.wait(60) == status
    (line,) = server.log.read_text().splitlines()
    assert line.startswith(beginning)
    return line


@pytest.fixture
def broken_model(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{}")
    return tmp_path / "broken"


def test_what_only_the_worker_finds_is_one_line_too(start, broken_model):
    with start("--model", broken_model) as server:
        line = complaint_of(server, 2, f"o2v: {broken_model}: ")
        assert "params.safetensors is missing" in line


def test_a_port_that_is_taken_is_named(start, tiny_model, server):
    with start("--model", tiny_model, port=server.port) as second:
        assert second.process.wait(60) == 2
        assert f"cannot listen on 127.0.0.1 port {server.port}" in second.log.read_text()


def test_the_parent_process_stays_light():
    code = "import o2v_jax.server.run, sys; sys.exit(bool({'jax', 'flask'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_flask_run_works_as_is(start, short_model):
    with start(module=FLASK, O2V_MODEL=str(short_model)) as server:
        server.wait_until_ready()
        reply = server.invoke(RECORDS)
        assert (reply.status, len(reply.json["predictions"])) == (200, 1)
        assert server.invoke(b"{").status == 400


def test_flask_run_of_a_wrong_model_is_one_line(start, broken_model):
    with start(module=FLASK, O2V_MODEL=str(broken_model)) as server:
        complaint_of(server, 1, f"Error: {broken_model}: ")
