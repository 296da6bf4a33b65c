"""What the Dockerfile calls, with the environment it sets, on a layout in a temporary folder."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import o2v_jax
from o2v_jax.extras import EXTRAS
from o2v_jax.server.settings import ServerSettings

LINES = (Path(__file__).parents[1] / "Dockerfile").read_text().splitlines()
HYPERPARAMETERS = {
    "enc0_max_seq_len": "4",
    "enc0_vocab_size": "9",
    "enc0_network": "pooled_embedding",
    "enc_dim": "4",
    "epochs": "1",
    "_kvstore": "device",
}


def environment():
    words = next(line for line in LINES if line.startswith("ENV ")).split()[1:]
    return dict(word.split("=", 1) for word in words)


@pytest.fixture
def layout(tmp_path):
    """SageMaker's folders with a training job of two files, one of them nested."""
    config, data = tmp_path / "input" / "config", tmp_path / "input" / "data" / "train"
    config.mkdir(parents=True)
    (data / "more").mkdir(parents=True)
    (config / "hyperparameters.json").write_text(json.dumps(HYPERPARAMETERS))
    (config / "resourceconfig.json").write_text('{"current_host": "algo-1", "hosts": ["algo-1"]}')
    (data / "a.jsonl").write_text('{"label": 0, "in0": [1], "in1": [2]}\n')
    (data / "more" / "b.jsonl").write_text('{"label": 1, "in0": [3], "in1": [4]}\n')
    return tmp_path


def test_the_entry_point_is_the_command():
    (entry,) = (line.split(" ", 1)[1] for line in LINES if line.startswith("ENTRYPOINT"))
    assert json.loads(entry) == ["o2v"]


@pytest.fixture
def train(layout, o2v, monkeypatch):
    """Runs `o2v train ARGUMENTS` as the image would."""
    for name, value in (environment() | {"O2V_TRAIN_PREFIX": str(layout)}).items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: o2v("train", *arguments)


@pytest.mark.process
def test_train_reads_and_writes_the_layout(layout):
    done = subprocess.run(
        [sys.executable, "-m", "o2v_jax", "train"],
        env=os.environ | environment() | {"O2V_TRAIN_PREFIX": str(layout)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    model = o2v_jax.load(layout / "model")
    assert model.config.enc_dim == 4
    assert [file["name"] for file in model.provenance["files"]["train"]] == ["a.jsonl", "b.jsonl"]
    assert not (layout / "output" / "failure").exists()


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        (
            "config/hyperparameters.json",
            json.dumps(HYPERPARAMETERS | {"enc_dim": "3"}),
            "enc_dim=3: must be an integer in 4",
        ),
        (
            "config/resourceconfig.json",
            '{"hosts": ["algo-1", "algo-2"], "current_host": "algo-3"}',
            "current_host 'algo-3' is not one of the hosts",
        ),
        ("config/resourceconfig.json", '{"hosts": 5}', "hosts must be a list of names"),
        ("data/train/a.jsonl", '{"label": 0, "in0": [9], "in1": []}', r"a.jsonl:1 \$.in0\[0\]: 9"),
    ],
)
def test_a_failure_is_written_down(train, layout, file, content, reason):
    (layout / "input" / file).write_text(content)
    done = train()
    assert done.status == 2
    failure = (layout / "output" / "failure").read_text()
    assert re.search(reason, failure)
    assert re.search(reason, done.err)
    assert not (layout / "model").exists()


@pytest.mark.slow
def test_metric_lines_name_this_host_and_hidden_files_are_no_data(train, layout):
    resources = layout / "input" / "config" / "resourceconfig.json"
    resources.write_text('{"current_host": "algo-7", "hosts": ["algo-7"]}')
    (layout / "input" / "data" / "train" / ".a.jsonl.swp").write_bytes(b"\x00junk")
    hidden = layout / "input" / "data" / "train" / ".ipynb_checkpoints"
    hidden.mkdir()
    (hidden / "a-checkpoint.jsonl").write_bytes(b"\x00junk")
    done = train()
    assert done.status == 0, done.err
    assert "#quality_metric: host=algo-7, epoch=0, train accuracy" in done.out


def test_options_given_by_hand_overrule_the_container(train, layout, tmp_path):
    inside = layout / "input"
    settings = inside / "config" / "hyperparameters.json"
    options = ("--hyperparameters", settings, "--output", tmp_path / "elsewhere")
    done = train("--train", inside / "data" / "train" / "a.jsonl", *options)
    assert done.status == 0, done.err
    assert o2v_jax.load(tmp_path / "elsewhere").provenance["records"] == 1
    refused = train("--sagemaker", *options)
    assert "--hyperparameters, --output cannot be combined with --sagemaker" in refused.err


def test_a_missing_channel_is_named(train, layout):
    for path in (layout / "input" / "data" / "train").rglob("*.jsonl"):
        path.unlink()
    assert "channel train is missing or empty" in train().err


def test_the_image_says_what_it_can_do():
    """It obeys SAGEMAKER_BIND_TO_PORT; of several models under one endpoint it knows nothing."""
    words = " ".join(line for line in LINES if line.startswith("LABEL ")).split()[1:]
    capabilities = "com.amazonaws.sagemaker.capabilities"
    assert words == [f"{capabilities}.accept-bind-to-port=true"]
    assert ServerSettings.from_environment({"SAGEMAKER_BIND_TO_PORT": "8090"}).port == 8090


def test_the_image_has_the_extras_of_what_it_does():
    """It serves and trains, without what else there is."""
    (chosen,) = (line.removeprefix("ARG EXTRAS=") for line in LINES if line.startswith("ARG "))
    assert chosen.split(",") == ["serve", "train"]
    assert set(chosen.split(",")) <= set(EXTRAS)
    (install,) = (line for line in LINES if line.startswith("RUN "))
    assert shlex.split(install)[-1] == ".[${EXTRAS}]"


def test_the_image_copies_what_the_package_needs():
    copied = {word for line in LINES if line.startswith("COPY") for word in shlex.split(line)[1:-1]}
    assert {
        "pyproject.toml",
        "constraints.txt",
        "README.md",
        "LICENSE",
        "o2v_jax",
    } == copied
