"""A tiny model on disk, and a real server of it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from contract_clients import SHIMS, create_client
from forked import Command
from length_scorer import LengthScorer
from query_servers import make_scorer

import o2v_jax
from o2v_jax import Hyperparameters, Model
from o2v_jax.server.settings import ServerSettings

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The directory of a small hcnn classifier with three classes and two different encoders."""
    config = Hyperparameters(
        enc0_max_seq_len=8,
        enc0_vocab_size=40,
        enc_dim=16,
        enc0_token_embedding_dim=8,
        mlp_dim=8,
        num_classes=3,
    )
    directory = tmp_path_factory.mktemp("models") / "tiny"
    params, other = o2v_jax.init(config, 1), o2v_jax.init(config, 2)
    params |= {name: other[name] for name in ("embed_1", "target")}
    return o2v_jax.save(Model(config, params), directory)


@pytest.fixture(scope="session")
def short_model(tiny_model, tmp_path_factory):
    """The tiny model of sequences of two tokens, which is soon warm: it has few programs."""
    tiny = o2v_jax.load(tiny_model)
    config = replace(tiny.config, enc0_max_seq_len=2, enc1_max_seq_len=2)
    return o2v_jax.save(Model(config, tiny.params), tmp_path_factory.mktemp("models") / "short")


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    process: Command | subprocess.Popen
    port: int
    log: Path

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def request(self, method, path, body=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def invoke(self, body, content_type="application/json", **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type:
            sent["Content-Type"] = content_type
        return self.request("POST", "/invocations", body, sent)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def is_ready(self):
        try:
            return self.request("GET", "/ping", timeout=2).status == 200
        except OSError:
            return False

    def wait_until_ready(self, seconds=60):
        end = time.monotonic() + seconds
        while not self.is_ready():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(directory, *arguments, module="", port=None, **environment):
    """`o2v serve` with these arguments on a free port, until the block ends.

    Args:
        directory: where its log goes.
        arguments: of the command.
        module: what a new interpreter runs instead, such as "flask --app serving.app run".
        port: default a free one.
        environment: variables beside those of this process.
    """
    port, log = port or free_port(), directory / "server.log"
    environment = os.environ | environment
    arguments = [*map(str, arguments), "--port", str(port)]
    with log.open("wb") as out:
        if module:
            process = subprocess.Popen(
                [sys.executable, "-m", *module.split(), *arguments],
                stdout=out,
                stderr=out,
                env=environment,
                cwd=REPOSITORY,
                process_group=0,
            )
        else:
            descriptor = out.fileno()
            process = Command(
                "serve", *arguments, environment=environment, stdout=descriptor, stderr=descriptor
            )
    try:
        yield Server(process, port, log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="session")
def cache(pytestconfig):
    """Where all servers of all test runs keep their compiled programs."""
    return str(pytestconfig.cache.mkdir("programs"))


@pytest.fixture(scope="session")
def start_in(cache):
    """Starts a server whose log is in a directory: `with start_in(directory, "--model", path)`."""
    return partial(serving, O2V_CACHE_DIR=cache)


@pytest.fixture
def start(tmp_path, start_in):
    """Starts a server of one's own: `with start("--model", path, NAME=value) as server`."""
    return partial(start_in, tmp_path)


@pytest.fixture(scope="session")
def server(tiny_model, tmp_path_factory, cache):
    """A server of the tiny model, for all tests that leave it as it is."""
    directory = tmp_path_factory.mktemp("server")
    with serving(directory, "--model", tiny_model, O2V_CACHE_DIR=cache) as running:
        running.wait_until_ready()
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="session")
def pairs():
    return [{"in0": [1, 2, 3], "in1": [4, 5]}, {"in0": [39], "in1": [1, 1, 1, 1]}]


@pytest.fixture(scope="session")
def good_answer(server, pairs):
    """What the server says to `pairs` before anything else."""
    reply = server.invoke(json.dumps({"instances": pairs}))
    assert reply.status == 200
    return reply.body


@pytest.fixture
def still_good(server, pairs, good_answer):
    """After the test, the same good request still gets the same scores."""
    yield
    assert server.invoke(json.dumps({"instances": pairs})).body == good_answer


@pytest.fixture(scope="session")
def worded():
    """A model of words, and a scorer of it that several servers share."""
    return make_scorer()


@pytest.fixture(params=SHIMS)
def connect(request):
    """Creates a client of one shim, with the arguments of `create_app`."""
    clients = []

    def create(*arguments, **settings):
        clients.append(create_client(request.param, *arguments, **settings))
        return clients[-1]

    yield create
    for client in clients:
        client.close()


@pytest.fixture
def scorer():
    """A scorer that tests can hold up and break; warm-up waits for `may_warm`."""
    scorer = LengthScorer()
    yield scorer
    scorer.may_warm.set()
    scorer.may_warm_all.set()
    scorer.may_score.set()


@pytest.fixture
def client(connect, scorer):
    """A client of each shim, around `scorer`."""
    return connect(scorers=[scorer], settings=ServerSettings(max_concurrent=2))
