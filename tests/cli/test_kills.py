"""A training process that is killed at any moment, and one that is asked to stop."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from forked import Command

import o2v_jax
from o2v_jax.checkpoint import flatten

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("apart")]

KILLS = int(os.environ.get("O2V_TEST_KILLS", "3"))
MOMENTS = ("starting", "saving", "training", "saving", "training")


def start(*arguments):
    return Command("train", *arguments)


def finish(process, timeout=120):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def parameters(model):
    return {name: array.tobytes() for name, array in flatten(o2v_jax.load(model).params).items()}


@pytest.fixture(scope="module")
def options(files):
    """A run of some seconds, with dropout, buckets and a growing history.

    Its batches are large enough to be of few lengths, for each of which a step is compiled.
    """
    return (
        *("--train", files["train"], "--validation", files["validation"]),
        *("--hyperparameters", files["hyperparameters"], "--epochs", 100, "--dropout", 0.2),
        *("--mini_batch_size", 16, "--early_stopping_patience", 5, "--learning_rate", 0.0001),
        *("--early_stopping_tolerance", 0.000001, "--bucket_width", 3),
    )


def wait_for(process, text):
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"ended without {text!r}: {process.stderr.read()}")


def kill(process, moment, directory, rng):
    """Kills the process while it starts, trains, or writes its state."""
    if moment != "starting":
        process.stdout.readline()
    if moment == "saving":
        wait_for_unfinished_state(process, directory)
    else:
        time.sleep(rng.uniform(0, 2.5 if moment == "starting" else 1.5))
    process.kill()
    process.communicate()


def wait_for_unfinished_state(process, directory):
    """A state that was there before is what an earlier kill has left."""
    before = set(directory.glob("*.orbax-checkpoint-tmp*"))
    while process.poll() is None:
        if set(directory.glob("*.orbax-checkpoint-tmp*")) - before:
            return
        time.sleep(0.001)


def test_kills_end_in_the_uninterrupted_runs_parameters(options, tmp_path):
    status, _, err = finish(start(*options, "--output", tmp_path / "whole"))
    assert status == 0, err
    often = (*options, "--checkpoint-interval", 0.1, "--output", tmp_path / "model")
    rng, unfinished = random.Random(0), 0
    for number in range(KILLS):
        moment = MOMENTS[number % len(MOMENTS)]
        kill(start(*often), moment, tmp_path / "model.checkpoints", rng)
        if (tmp_path / "model").exists():
            break
        unfinished += 1
    assert unfinished >= KILLS // 2, "the run is too short for this test"
    if unfinished == KILLS:
        status, out, err = finish(start(*often))
        assert status == 0, err
        assert "Continuing epoch" in out
    assert parameters(tmp_path / "model") == parameters(tmp_path / "whole")
    one, two = (o2v_jax.load(tmp_path / name).metrics for name in ("whole", "model"))
    assert one == two
    if unfinished == KILLS:
        assert not (tmp_path / "model.checkpoints").exists(), "a finished run leaves no state"


class Stopped(NamedTuple):
    """A run that was asked to stop in its second epoch, and the seconds that it took to end."""

    model: Path
    status: int
    err: str
    seconds: float


def stop(folder, options, number):
    process = start(*options, "--output", folder / "model")
    wait_for(process, "epoch=1, train")
    process.send_signal(number)
    began = time.monotonic()
    status, _, err = finish(process)
    return Stopped(folder / "model", status, err, time.monotonic() - began)


@pytest.fixture(scope="module")
def runs(options, tmp_path_factory):
    """A run for each signal, which tests leave as they are."""
    signals = (signal.SIGTERM, signal.SIGINT)
    return {number: stop(tmp_path_factory.mktemp("run"), options, number) for number in signals}


@pytest.fixture(scope="module")
def stopped(runs):
    """The state of a run that was asked to stop."""
    return runs[signal.SIGTERM].model.with_name("model.checkpoints")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_and_goes_on(number, runs, options, tmp_path):
    run = runs[number]
    assert run.seconds < 30
    assert run.status == 128 + number
    said = f"o2v: stopped by {number.name}; the same command resumes"
    assert run.err.splitlines()[-1].startswith(said)
    assert "Traceback" not in run.err
    assert not run.model.exists()
    state = run.model.with_name("model.checkpoints")
    shutil.copytree(state, tmp_path / "model.checkpoints")
    again = start(*options, "--output", tmp_path / "model")
    wait_for(again, "Continuing epoch")
    again.send_signal(number)
    assert finish(again)[0] == 128 + number


def test_another_run_is_refused_or_starts_over(stopped, options, tmp_path, o2v):
    shutil.copytree(stopped, tmp_path / "model.checkpoints")
    refused = o2v("train", *options, "--epochs", 99, "--output", tmp_path / "model")
    assert refused.status == 2
    assert "holds the state of another run (epochs was 100, now 99)" in refused.err
    fresh = ("--epochs", 2, "--no-resume", "--output", tmp_path / "model")
    done = o2v("train", *options, *fresh)
    assert done.status == 0, done.err
    assert "Continuing" not in done.out


def test_a_stopped_container_leaves_state_and_model(files, tmp_path):
    config, data = tmp_path / "input" / "config", tmp_path / "input" / "data" / "train"
    config.mkdir(parents=True)
    data.mkdir(parents=True)
    (data / "train.jsonl").write_bytes(files["train"].read_bytes())
    settings = json.loads(files["hyperparameters"].read_text())
    settings |= {"epochs": "100", "mini_batch_size": "16", "early_stopping_patience": "5"}
    settings |= {"early_stopping_tolerance": "0.000001", "learning_rate": "0.00001"}
    (config / "hyperparameters.json").write_text(json.dumps(settings))
    kept = tmp_path / "kept"
    (config / "checkpointconfig.json").write_text(json.dumps({"LocalPath": str(kept)}))
    process = start("--sagemaker", "--prefix", tmp_path)
    wait_for(process, "epoch=1, train")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 143
    assert o2v_jax.load(tmp_path / "model").metrics["best_epoch"] >= 0
    assert not (tmp_path / "checkpoints").exists()
    state = max((kept / "state").iterdir())
    assert (tmp_path / "output" / "data" / "history.csv").exists()
    assert not (tmp_path / "output" / "failure").exists()
    # what a copy to storage and back may add: a marker, and a newer state of which it has a part
    (kept / "state" / f"{state.name}.sagemaker-uploading").touch()
    shutil.copytree(state, kept / "state" / "state_9")
    max((kept / "state" / "state_9").rglob("*"), key=lambda p: p.stat().st_size).write_bytes(b"")
    again = start("--sagemaker", "--prefix", tmp_path)
    wait_for(again, "Continuing epoch")
    again.send_signal(signal.SIGTERM)
    status, _, err = finish(again)
    assert status == 143
    assert "Traceback" not in err
    (said,) = [line for line in err.splitlines() if "damaged" in line]
    assert said.startswith(f"o2v: {kept}/state holds a damaged state (state_9: ")
    assert said.endswith(f"): resuming from {state.name}")


def test_a_damaged_state_is_named(stopped, options, tmp_path):
    shutil.copytree(stopped, tmp_path / "model.checkpoints")
    (manifest,) = (tmp_path / "model.checkpoints").glob("state_*/arrays/manifest.ocdbt")
    manifest.write_bytes(b"not a manifest")
    status, _, err = finish(start(*options, "--output", tmp_path / "model"))
    state = tmp_path / "model.checkpoints"
    assert status == 2
    assert f"o2v: {state} holds a damaged state: start over with --no-resume" in err.splitlines()
    assert all(line.startswith("o2v: ") for line in err.splitlines()), err
