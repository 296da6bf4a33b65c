"""Two real processes that train one model, each with two devices; what befalls one ends both."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest
from forked import Command

import o2v_jax
from o2v_jax.checkpoint import flatten

pytestmark = [pytest.mark.hosts, pytest.mark.usefixtures("apart")]

SETTINGS = {
    "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2",
    "O2V_TRAIN_DEVICES": "2",
}
LONG = ("--epochs", 100, "--early_stopping_patience", 5, "--early_stopping_tolerance", 1e-6)
LONG += ("--learning_rate", 1e-5, "--mini_batch_size", 32)


@pytest.fixture(scope="module")
def options(files):
    named = [f"--{name}={files[name]}" for name in ("train", "validation", "test")]
    return ("train", *named, "--hyperparameters", files["hyperparameters"], "--dropout", 0.2)


def start(*arguments):
    return Command(*arguments, environment=os.environ | SETTINGS)


def start_two(*options):
    """Both hosts; options in a dictionary are for the host of that number."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    together = ("--hosts", 2, "--coordinator", address)
    return [start(*options, *together, "--host-index", index) for index in (0, 1)]


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def parameters(model):
    return flatten(o2v_jax.load(model).params)


def wait_for(process, text):
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"ended without {text!r}: {process.stderr.read()}")


def _kill_child_of(process):
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    with open(children) as file:  # noqa: PTH123
        for child in file.read().split():
            os.kill(int(child), signal.SIGKILL)


class Ended(NamedTuple):
    status: int
    err: str
    seconds: float


@pytest.fixture(scope="module")
def vanished(options, apart, tmp_path_factory):
    """How both hosts of a run ended (in the future) of which the second one's training was killed.

    The first one waits for half a minute until it takes the other for lost: meanwhile other tests
    can run.
    """
    model = tmp_path_factory.mktemp("vanished") / "model"
    hosts = start_two(*options, *LONG, "--output", model)
    wait_for(hosts[0], "epoch=0, validation")
    _kill_child_of(hosts[1])
    began = time.monotonic()

    def end(process):
        status, _, err = finish(process)
        assert not model.exists()
        return Ended(status, err, time.monotonic() - began)

    with ThreadPoolExecutor(2) as pool:
        yield [pool.submit(end, process) for process in hosts]


@pytest.mark.usefixtures("vanished")
def test_two_hosts_end_with_the_model_of_one(options, o2v, tmp_path):
    settings = ("--epochs", 2, "--token_embedding_storage_type", "row_sparse", "--shard-tables")
    two = start_two(*options, *settings, "--output", tmp_path / "two")
    (status, out, err), (other, nothing, other_err) = map(finish, two)
    assert (status, other) == (0, 0), err + other_err
    assert "host=algo-1, test accuracy" in out
    assert "#" not in nothing, "one host reports"
    alone = o2v(*options, *settings[:-1], "--devices", 1, "--output", tmp_path / "one")
    assert alone.status == 0, alone.err
    one, two = parameters(tmp_path / "one"), parameters(tmp_path / "two")
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, atol=1e-4)
    assert o2v_jax.load(tmp_path / "two").provenance["hosts"] == 2
    assert {path.name for path in tmp_path.iterdir()} == {"one", "one.report", "two", "two.report"}


def test_a_signal_to_one_stops_both_and_one_goes_on(options, tmp_path):
    output = ("--output", tmp_path / "model")
    first, second = start_two(*options, *LONG, *output)
    wait_for(first, "epoch=0, validation")
    second.send_signal(signal.SIGTERM)
    for process in (first, second):
        status, _, err = finish(process)
        assert status == 143, err
        assert err.splitlines()[-1].startswith("o2v: stopped by SIGTERM; the same command resumes")
    alone = start(*options, *LONG, *output, "--devices", 1)
    wait_for(alone, "Continuing epoch")
    alone.send_signal(signal.SIGTERM)
    assert finish(alone)[0] == 143


def test_a_failure_of_one_is_told_to_the_other(options, files, tmp_path):
    """The second host's file is another one, as SageMaker's ShardedByS3Key would give it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    together = ("--hosts", 2, "--coordinator", address, "--output", tmp_path / "model")
    first = start(*options, *together, "--host-index", 0)
    second = start(*options, "--train", files["test"], *together, "--host-index", 1)
    reason = "train data: algo-2 and algo-1 differ, but every host needs the same files"
    results = finish(first), finish(second)
    assert [status for status, *_ in results] == [2, 2]
    assert f"o2v: algo-2 ended: {reason}" in results[0][2]
    assert f"o2v: {reason}" in results[1][2]
    assert not (tmp_path / "model").exists()


def test_a_host_that_vanishes_ends_the_other(vanished):
    first, second = (ended.result() for ended in vanished)
    assert second.status == 137
    assert first.status == 2
    assert first.err.splitlines()[-1].startswith("o2v: another host was lost")
    assert first.seconds < 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hosts", 2), "--hosts, --host-index and --coordinator belong together"),
        (
            ("--hosts", 2, "--host-index", 2, "--coordinator", "a:1"),
            "--host-index 2: must be below --hosts 2",
        ),
        (
            ("--hosts", 2, "--host-index", 0, "--coordinator", "somewhere"),
            "--coordinator somewhere: must be HOST:PORT",
        ),
    ],
)
def test_hosts_that_cannot_meet_are_refused(arguments, message, options, o2v, tmp_path):
    run = o2v(*options, *arguments, "--output", tmp_path / "model")
    assert run.status == 2
    assert run.err.splitlines()[-1] == f"o2v: {message}"
