"""What `o2v prepare` refuses, in one line and without leaving anything behind."""

import os
import resource
import signal
import sys
import time

import pytest
from forked import Command

from o2v_jax import InputError
from o2v_jax.preparation import Preparation, Side

PAIRS = ("--in0", "one", "--in1", "two")
GIVEN = ("--shared-vocabulary", "--vocabulary", "{file}")


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("one,two\n" + "a dog,a cat\n" * 50)
    return path


ERRORS = {
    "a column that is missing": (
        ("--in0", "three", "--in1", "two"),
        "no column 'three'; its columns",
    ),
    "an empty cell": (PAIRS, ":3: in0 (column 'one'): the cell is empty"),
    "no number": (
        ("--in0", "two", "--in1", "2", "--label", "1"),
        ":3: the label 'y' is not a finite",
    ),
    "no class": (
        ("--in0", "two", "--in1", "2", "--label", "1", "--classes", "1,2"),
        ":3: the label 'y' is none of the classes 1, 2",
    ),
    "no ids": ((*PAIRS, "--in0-type", "ids"), ":2: in0 (column 'one'): 'x' is not a token id"),
    "no label": ((*PAIRS, "--classes", "a,b"), "--classes needs --label"),
    "one class": ((*PAIRS, "--label", "2", "--classes", "a"), "2 to 30 different names"),
    "classes of numbers": (
        (*PAIRS, "--label", "2", "--classes", "a,b", "--output-layer", "mean_squared_error"),
        "classes are for output_layer=softmax",
    ),
    "too much": ((*PAIRS, "--test", "0.5", "--validation", "0.5"), "sum to less than 1"),
    "a share of no files": (
        (*PAIRS, "--test", "0.1", "--validation-file", "{file}", *GIVEN),
        "test is a share of the files to train on, but there are none",
    ),
    "a seed of nothing": (
        (*PAIRS, "--seed", "3"),
        "--seed has no effect without --validation or --test",
    ),
    "a delimiter of nothing": (
        (*PAIRS, "--format", "parquet", "--delimiter", ";"),
        "--delimiter is for CSV and TSV, but the files are parquet",
    ),
    "a header of nothing": (
        (*PAIRS, "--format", "jsonl", "--no-header"),
        "--no-header is for CSV and TSV, but the files are jsonl",
    ),
    "a URL": ((*PAIRS, "--test-file", "s3://b/test.csv"), "s3://b/test.csv is a URL, but a path"),
    "an output elsewhere": ((*PAIRS, "--output", "s3://b/out"), "s3://b/out is a URL, but a path"),
    "an output in a folder that is read": (
        (*PAIRS, "--test-file", "{folder}"),
        "the output lies within",
    ),
    "nothing but bad records": (
        (*PAIRS, "--in0-type", "ids", "--on-error", "skip"),
        "none of the 0 records that can be used; left out 2: {file}:2: in0 (column 'one'): 'x' is",
    ),
    "a share of nothing": (
        ("--in0", "two", "--in1", "2", "--test", "0.0001"),
        "test gets none of the 2 records",
    ),
    "two tests": (
        (*PAIRS, "--test", "0.5", "--test-file", "{file}"),
        "test takes files of its own",
    ),
    "half a vocabulary": ((*PAIRS, "--vocabulary", "{file}"), "give --in1-vocabulary too"),
    "other half": ((*PAIRS, "--in1-vocabulary", "{file}"), "give --vocabulary too"),
    "shared and not": (
        (*PAIRS, "--shared-vocabulary", "--in1-vocab-size", "9"),
        "--shared-vocabulary cannot be combined with --in1-vocab-size",
    ),
    "given and counted": (
        (*PAIRS, "--shared-vocabulary", "--vocabulary", "{file}", "--min-count", "2"),
        "leave --min-count out",
    ),
    "shared with ids": (
        (*PAIRS, "--in0-type", "ids", "--shared-vocabulary"),
        "needs ids in both columns or in neither",
    ),
    "a vocabulary of ids": (
        (*PAIRS, "--in0-type", "ids", "--vocabulary", "{file}"),
        "in0 holds ids already",
    ),
    "no vocabulary": (
        (*PAIRS, "--shared-vocabulary", "--vocabulary", "{file}"),
        "bad.csv is not valid JSON",
    ),
    "limits of ids": (
        (*PAIRS, "--in0-type", "ids", "--vocab-size", "9"),
        "leaves nothing for --vocab-size: for in1 there is --in1-vocab-size",
    ),
    "limits of ids of in1": (
        (*PAIRS, "--in1-type", "ids", "--in1-min-count", "9"),
        "in1 holds ids already, which leaves nothing for --in1-min-count",
    ),
    "a number that is too long": (
        ("--in0", "9" * 5000, "--in1", "two"),
        "there is no column '999",
    ),
    "a seed that is too large": (
        (*PAIRS, "--seed", f"{2**63}"),
        "is not in the range 0<=x<=9223372036854775807",
    ),
    "another form": ((*PAIRS, "--format", "parquet"), "cannot be read as Parquet"),
    "no such file": ((*PAIRS, "--test-file", "missing.csv"), "'missing.csv' does not exist"),
    "a form nobody knows": ((*PAIRS, "--test-file", sys.executable), "name its format by --format"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_one_line_with_status_2(o2v, tmp_path, name):
    options, message = ERRORS[name]
    file = tmp_path / "bad.csv"
    file.write_text("one,two,\nx,1,b\n,y,b\n")
    folder = {"file": file, "folder": tmp_path}
    options = [option.format(**folder) for option in options]
    files = [] if "of no files" in name else [file]
    result = o2v("prepare", *files, "--output", tmp_path / "out", *options)
    assert (result.status, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    assert message.format(**folder) in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"], "nothing is left behind"


def test_a_seed_of_the_environment_may_be_idle(o2v, pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("O2V_PREPARE_SEED", "3")
    done = o2v("prepare", pairs, *PAIRS, "--output", tmp_path / "made")
    assert done.status == 0, done.err


def test_training_files_or_a_vocabulary(o2v, pairs, tmp_path):
    nothing = o2v("prepare", *PAIRS, "--output", tmp_path / "out")
    assert "there are no files to prepare" in nothing.err
    uncounted = o2v("prepare", "--test-file", pairs, *PAIRS, "--output", tmp_path / "out")
    assert "in0 needs files to train on, or a vocabulary" in uncounted.err


def test_directories_it_does_not_write_to(o2v, pairs, tmp_path):
    common = ("prepare", pairs, *PAIRS, "--output")
    assert "holds other things (pairs.csv)" in o2v(*common, tmp_path, "--force").err
    assert "is a file" in o2v(*common, pairs).err
    out = tmp_path / "out"
    out.mkdir()
    assert o2v(*common, out, "--test", "0.2").status == 0
    assert "--force replaces it" in o2v(*common, out).err
    assert (out / "test.jsonl").exists()
    assert o2v(*common, out, "--force").status == 0
    assert not (out / "test.jsonl").exists()
    inside = o2v("prepare", out / "train.jsonl", *PAIRS, "--output", out, "--force")
    assert f"{out}/train.jsonl: lies in the output" in inside.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "pairs.csv"]


def test_a_failure_leaves_the_earlier_preparation(o2v, pairs, tmp_path):
    out, bad = tmp_path / "out", tmp_path / "bad.csv"
    bad.write_text("one,two\na,\n")
    assert o2v("prepare", pairs, *PAIRS, "--output", out).status == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    assert o2v("prepare", bad, *PAIRS, "--output", out, "--force").status == 2
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"out", "bad.csv", "pairs.csv"}


def stopped(tmp_path, number):
    """A preparation's status and words, after a signal in the middle.

    Rows come from a pipe that stays open until then.
    """
    rows = tmp_path / "rows.csv"
    os.mkfifo(rows)
    output = tmp_path / "out"
    arguments = ("prepare", rows, "--format", "csv", *PAIRS, "--output", output)
    process = Command(*arguments)
    with rows.open("w") as writing:
        writing.write("one,two\na,b\n")
        writing.flush()
        until = time.monotonic() + 60
        while not [*tmp_path.glob(".out.*.tmp")] and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    rows.unlink()
    return process.returncode, err


@pytest.mark.process
def test_a_signal_leaves_nothing_behind(tmp_path):
    assert stopped(tmp_path, signal.SIGTERM) == (143, "o2v: stopped by SIGTERM\n")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.process
def test_what_a_kill_leaves_is_removed_by_the_next_run(o2v, pairs, tmp_path):
    stopped(tmp_path, signal.SIGKILL)
    assert len([*tmp_path.iterdir()]) == 3
    assert o2v("prepare", pairs, *PAIRS, "--output", tmp_path / "out").status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "pairs.csv"]


@pytest.mark.parametrize("size", [20, 2_000, 20_000])
def test_a_full_disk_is_named(tmp_path, size):
    """The system refuses to make files longer, as it does on a full disk."""
    path = tmp_path / "rows.tsv"
    path.write_text("one\ttwo\n" + "".join(f"w{n}\tb\n" for n in range(2000)))
    sides = Side("one", "value"), Side("two", "value")
    preparation = Preparation(files=(path,), sides=sides, output=tmp_path / "out")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(InputError, match=r"out: cannot be written \(File too large\)"):
            preparation.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [*tmp_path.iterdir()] == [path]
