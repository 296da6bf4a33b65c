"""A tiny model, trained by the real command on data that can be learnt."""

import json
from pathlib import Path

import forked
import numpy as np
import pytest

HYPERPARAMETERS = {
    "enc0_max_seq_len": "6",
    "enc0_vocab_size": "20",
    "enc0_network": "pooled_embedding",
    "enc_dim": "16",
    "mlp_dim": "16",
    "mlp_layers": "1",
    "mlp_activation": "tanh",
    "epochs": "4",
    "learning_rate": "0.01",
    "_kvstore": "device",
}
WORDS = ["<pad>", "<unk>", "a", "man", "is", "sleeping", ".", "nobody", "awake"]


@pytest.fixture(scope="session")
def killed_processes_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def apart(killed_processes_cache):
    """Processes that are killed keep programs apart: others need not read what is half written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("O2V_CACHE_DIR", str(killed_processes_cache))
        yield


def write_pairs(path: Path, records: int, seed: int) -> Path:
    """Pairs whose label says whether both sides hold low ids or one holds high ones."""
    rng = np.random.default_rng(seed)
    with path.open("w") as file:
        for _ in range(records):
            label = int(rng.integers(2))
            in0 = rng.integers(1, 10, rng.integers(1, 9)).tolist()
            in1 = rng.integers(1 + 10 * label, 10 + 10 * label, rng.integers(1, 5)).tolist()
            file.write(json.dumps({"label": label, "in0": in0, "in1": in1}) + "\n")
    return path


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """train, validation and test files, hyperparameters and a vocabulary."""
    folder = tmp_path_factory.mktemp("data")
    sizes = {"train": 600, "validation": 90, "test": 70}
    made = {
        name: write_pairs(folder / f"{name}.jsonl", size, seed)
        for seed, (name, size) in enumerate(sizes.items())
    }
    made["hyperparameters"] = folder / "hyperparameters.json"
    made["hyperparameters"].write_text(json.dumps(HYPERPARAMETERS))
    made["vocabulary"] = folder / "vocab.json"
    made["vocabulary"].write_text(json.dumps({word: at for at, word in enumerate(WORDS)}))
    return made


@pytest.fixture(scope="session")
def trained(files, tmp_path_factory):
    """The model directory that `o2v train` writes, and what the command printed."""
    output = tmp_path_factory.mktemp("models") / "model"
    options = [f"--{name}={path}" for name, path in files.items()]
    done = forked.run("train", *options, f"--output={output}")
    assert done.returncode == 0, done.stderr
    return output, done.stdout


@pytest.fixture(scope="session")
def model(trained):
    return trained[0]
