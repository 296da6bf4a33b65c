"""Standard streams that nobody reads, that are closed or full: the status is that of the work."""

import io
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from o2v_jax.cli import main

PLAIN = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def places(files, model, tmp_path):
    """What the arguments of commands may name."""
    pairs, table = tmp_path / "pairs.jsonl", tmp_path / "table.csv"
    pairs.write_text('{"in0": [1], "in1": [2]}\n' * 3)
    table.write_text("a,b,y\na man,nobody,0\nis awake,a man,1\n")
    settings = files["hyperparameters"]
    return {**files, "settings": settings, "model": model, "out": tmp_path / "out"} | {
        "pairs": pairs,
        "table": table,
    }


@contextmanager
def broken(*numbers):
    """Standard output, or errors too, buffered as Python does it, and with a reader that left."""
    reading, writing = os.pipe()
    os.close(reading)
    kept = {number: os.dup(number) for number in numbers}
    names = {1: "stdout", 2: "stderr"}
    with pytest.MonkeyPatch.context() as patch:
        for number in numbers:
            os.dup2(writing, number)
            raw = io.FileIO(number, "w", closefd=False)
            patch.setattr(sys, names[number], io.TextIOWrapper(io.BufferedWriter(raw)))
        try:
            yield
        finally:
            for number, saved in kept.items():
                getattr(sys, names[number]).flush()  # as the interpreter does at its end
                os.dup2(saved, number)
                os.close(saved)
            os.close(writing)


def status_of(monkeypatch, arguments, places):
    monkeypatch.setattr(sys, "argv", ["o2v", *(word.format(**places) for word in arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


COMMANDS = {
    "--help": 0,
    "--version": 0,
    "": 2,
    "--nothing": 2,
    "score --help": 0,
    "score --model {model} {pairs}": 0,
    "score --model {model} {out}": 2,
    "embed --model {model} --side in0 {pairs}": 0,
    "evaluate --model {model} {test}": 0,
    "inspect --model {model}": 0,
    "inspect --model {model} --json": 0,
    "warm --help": 0,
    "prepare {table} --in0 a --in1 b --label y --output {out}": 0,
    "train --train {test} --hyperparameters {settings} --epochs 1 --output {out}": 0,
    "transform --model {model} {pairs} --output {out}": 0,
}


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_reader_that_left_changes_no_status(arguments, places, monkeypatch, capfd):
    with broken(1, 2):
        status = status_of(monkeypatch, arguments.split(), places)
    assert status == COMMANDS[arguments]
    assert ("{out}" in arguments) == places["out"].exists() or "score" in arguments


@pytest.mark.parametrize("arguments", ["score --model {model} {pairs}", "inspect --model {model}"])
def test_a_reader_that_left_is_no_mistake_to_complain_of(arguments, places, monkeypatch, capfd):
    with broken(1):
        assert status_of(monkeypatch, arguments.split(), places) == 0
    assert "o2v:" not in capfd.readouterr().err


def test_a_broken_pipe_elsewhere_is_an_error(places, monkeypatch, capfd):
    def fail(_):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("o2v_jax.checkpoint.load", fail)
    assert status_of(monkeypatch, ["inspect", "--model", "{model}"], places) == 2
    assert "Broken pipe" in capfd.readouterr().err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")  # noqa: PTH110
def test_a_full_disk_is_said(places, monkeypatch, capfd):
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
        stdout = io.TextIOWrapper(io.BufferedWriter(full))
        monkeypatch.setattr(sys, "stdout", stdout)
        assert status_of(monkeypatch, ["inspect", "--model", "{model}"], places) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line == "o2v: standard output cannot be written: No space left on device"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")  # noqa: PTH110
@pytest.mark.parametrize(
    "arguments",
    [
        "score --model {model} {pairs}",
        "embed --model {model} --side in0 {pairs}",
        "evaluate --model {model} {test}",
        "inspect --model {model}",
        "inspect --model {model} --json",
    ],
)
def test_a_full_disk_is_said_where_python_holds_nothing_back(arguments, places, monkeypatch, capfd):
    """As with PYTHONUNBUFFERED, or with more than fits the buffer."""
    with io.FileIO("/dev/full", "w") as full:
        stdout = io.TextIOWrapper(full, write_through=True)
        monkeypatch.setattr(sys, "stdout", stdout)
        assert status_of(monkeypatch, arguments.split(), places) == 2
    line = capfd.readouterr().err.splitlines()[-1]
    assert line == "o2v: standard output cannot be written: No space left on device"


def test_closed_standard_input_is_said(places, monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdin", None)
    assert status_of(monkeypatch, ["score", "--model", "{model}"], places) == 2
    assert "standard input is closed: name a file" in capfd.readouterr().err


@pytest.mark.process
def test_opened_streams_are_those_of_children_too():
    code = "import os, o2v_jax.cli.streams as s; os.close(2); s.open_closed_streams(); "
    code += "print(os.get_inheritable(2))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=PLAIN, check=False, timeout=60, capture_output=True)
    assert done.stdout == b"True\n"


@pytest.mark.process
def test_closed_streams_lend_their_numbers_to_no_file(places):
    """In a process of its own, because it is born without them."""

    arguments = "prepare {table} --in0 a --in1 b --label y --output {out}".format(**places).split()
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    command = [*shell, sys.executable, "-m", "o2v_jax", *arguments]
    done = subprocess.run(command, env=PLAIN, check=False, timeout=60)
    assert done.returncode == 0
    assert (places["out"] / "train.jsonl").read_text().count("\n") == 2


@pytest.mark.process
def test_the_interpreter_ends_with_the_status_of_the_command():
    """What Python buffers is written when a process ends, which only a process can show."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "o2v_jax", "--version"]
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, env=PLAIN, check=False, timeout=60
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
