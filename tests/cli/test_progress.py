"""Progress shows on a terminal, and only there; results are the same."""

import os
import pty
import threading

import pytest
from forked import Command

from o2v_jax.progress import InputProgress

pytestmark = pytest.mark.process

PAIRS = b'{"in0": [1, 2], "in1": [3]}\n' * 9000


def run_on_a_terminal(arguments, stdin=b"", *, stdout):
    """Runs `o2v` with a terminal as standard error, and as output if `stdout` is "terminal".

    Returns its status, its output if that is a pipe, and what the terminal was sent.
    """
    master, slave = pty.openpty()
    reading, writing = os.pipe()
    shown = []

    def listen():
        try:
            while part := os.read(master, 65536):
                shown.append(part)
        except OSError:  # what a terminal says when its last user has gone
            pass

    def feed():
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(stdin)

    threads = [threading.Thread(target=work) for work in (listen, feed)]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    out = slave if stdout == "terminal" else None
    command = Command(*arguments, environment=environment, stdin=reading, stdout=out, stderr=slave)
    os.close(slave)
    os.close(reading)
    for thread in threads:
        thread.start()
    output, _ = command.communicate(timeout=120)
    for thread in threads:
        thread.join(10)
    os.close(master)
    return command.returncode, output, b"".join(shown).decode()


def test_scoring_shows_records_and_rate(model):
    arguments = ("score", "--model", model)
    status, output, shown = run_on_a_terminal(arguments, PAIRS, stdout="pipe")
    assert status == 0, shown
    assert "9,000 records" in shown
    assert "records/s" in shown
    assert output.count("\n") == 9000


def test_results_on_a_terminal_are_not_torn_apart(model):
    arguments = ("score", "--model", model)
    status, _, shown = run_on_a_terminal(arguments, PAIRS[:28], stdout="terminal")
    assert status == 0
    assert shown.startswith('{"scores":[')
    assert "records" not in shown


@pytest.mark.parametrize("on_terminal", [True, False])
def test_transforming_shows_a_bar(model, o2v, tmp_path, on_terminal):
    file = tmp_path / "a.jsonl"
    file.write_bytes(PAIRS)
    arguments = ("transform", "--model", model, file, "--output", tmp_path / "out")
    if on_terminal:
        status, output, shown = run_on_a_terminal(arguments, stdout="pipe")
        assert "kB" in shown
        assert "9,000 records, " in shown
        assert " left" in shown
    else:
        status, output, errors = o2v(*arguments)
        (line,) = errors.splitlines()
        assert line.startswith("1 of 1 files, 9,000 records, ")
    assert status == 0
    assert output == ""


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
    stdout = "terminal" if on_terminal else "pipe"
    status, _, shown = run_on_a_terminal(arguments, stdout=stdout)
    assert status == 0, shown
    assert ("epoch 0" in shown and "records/s" in shown) is on_terminal
