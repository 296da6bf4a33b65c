"""Progress shows on a terminal, and only there; results are the same."""

import os
import pty
import subprocess
import sys
import threading

import pytest

from o2v_jax.progress import InputProgress

pytestmark = pytest.mark.process

PAIRS = b'{"in0": [1, 2], "in1": [3]}\n' * 9000


def run_on_a_terminal(arguments, stdin=b"", *, stdout):
    """Runs `o2v` with a terminal as standard error (and output, if `stdout` is None)."""
    master, slave = pty.openpty()
    shown = []

    def listen():
        try:
            while part := os.read(master, 65536):
                shown.append(part)
        except OSError:  # what a terminal says when its last user has gone
            pass

    listener = threading.Thread(target=listen)
    listener.start()
    command = [sys.executable, "-m", "o2v_jax", *map(str, arguments)]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    out = slave if stdout is None else stdout
    done = subprocess.run(
        command, input=stdin, stdout=out, stderr=slave, env=environment, check=False, timeout=120
    )
    os.close(slave)
    listener.join(10)
    os.close(master)
    return done, b"".join(shown).decode()


def test_scoring_shows_records_and_rate(model):
    arguments = ("score", "--model", model)
    done, shown = run_on_a_terminal(arguments, PAIRS, stdout=subprocess.PIPE)
    assert done.returncode == 0, shown
    assert "9,000 records" in shown
    assert "records/s" in shown
    assert done.stdout.count(b"\n") == 9000


def test_results_on_a_terminal_are_not_torn_apart(model):
    done, shown = run_on_a_terminal(("score", "--model", model), PAIRS[:28], stdout=None)
    assert done.returncode == 0
    assert shown.startswith('{"scores":[')
    assert "records" not in shown


@pytest.mark.parametrize("on_terminal", [True, False])
def test_transforming_shows_a_bar(model, tmp_path, on_terminal):
    file = tmp_path / "a.jsonl"
    file.write_bytes(PAIRS)
    arguments = ("transform", "--model", model, file, "--output", tmp_path / "out")
    if on_terminal:
        done, shown = run_on_a_terminal(arguments, stdout=subprocess.PIPE)
        assert "kB" in shown
        assert "9,000 records, " in shown
        assert " left" in shown
    else:
        command = [sys.executable, "-m", "o2v_jax", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        (line,) = done.stderr.splitlines()
        assert line.startswith("1 of 1 files, 9,000 records, ")
    assert done.returncode == 0
    assert done.stdout in (b"", "")


def test_without_a_terminal_a_long_transform_gets_lines(caplog):
    with caplog.at_level("INFO", "o2v_jax"), InputProgress(2000, log_every=0) as progress:
        progress.advance(0, 400)  # by an interrupted run
        progress.advance(30, 0)
        progress.advance(0, 800)
    line = caplog.messages[-1]
    assert line.startswith("60.0 % of 2,000 bytes, 30 records, ")
    assert line.endswith("0:00:00 left")


@pytest.mark.parametrize("on_terminal", [True, False])
def test_training_shows_a_bar(files, tmp_path, on_terminal):
    options = ("--hyperparameters", files["hyperparameters"], "--epochs=1")
    arguments = ("train", "--train", files["train"], *options, "--output", tmp_path / "model")
    stdout = None if on_terminal else subprocess.PIPE
    done, shown = run_on_a_terminal(arguments, stdout=stdout)
    assert done.returncode == 0, shown
    assert ("epoch 0" in shown and "records/s" in shown) is on_terminal
