"""A tiny model, trained by the real command on data that can be learnt, and a way to run `o2v`."""

import io
import json
import logging
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from o2v_jax.cli import main

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


class Result(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """Lines on standard error, but for the one about names that are ignored on purpose."""
        return [line for line in self.err.splitlines() if "ignored" not in line]

    @property
    def rows(self) -> list:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def o2v(monkeypatch, capfd):
    """Runs `o2v ARGUMENTS` in this process, with bytes as standard input."""

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["o2v", *map(str, arguments)])
        given = io.BufferedReader(io.BytesIO(stdin))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given))
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        logging.getLogger("o2v_jax").propagate = True  # pytest listens at the root
        out, err = capfd.readouterr()
        return Result(int(stopped.value.code or 0), out, err)

    return run


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
    import subprocess  # noqa: PLC0415

    output = tmp_path_factory.mktemp("models") / "model"
    options = [f"--{name}={path}" for name, path in files.items()]
    command = [sys.executable, "-m", "o2v_jax", "train", *options, f"--output={output}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return output, done.stdout


@pytest.fixture(scope="session")
def model(trained):
    return trained[0]
