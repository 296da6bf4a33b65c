"""Transforms that are killed, stopped or run out of room: nothing is lost, doubled or reordered."""

import gzip
import os
import random
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from forked import Command

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("apart")]

KILLS = int(os.environ.get("O2V_TEST_KILLS", "6"))
RECORDS = 40_000 * KILLS


def start(*arguments):
    return Command("transform", *arguments)


def finish(process, timeout=120):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def results(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def lines(records, seed, spaces=120):
    """Spaces make a part of few records, which are soon scored."""
    ids = np.random.default_rng(seed).integers(1, 20, (records, 8)).tolist()
    pairs = b'{"in0": [%d, %d, %d, %d, %d], "in1": [%d, %d, %d]}' + b" " * spaces + b"\n"
    return b"".join(pairs % tuple(row) for row in ids)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a file of several parts, a compressed one, documents, and a small one."""
    folder = tmp_path_factory.mktemp("transform") / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(lines(RECORDS, 0))
    (folder / "deep" / "b.jsonl.gz").write_bytes(gzip.compress(lines(RECORDS // 4, 1), 1))
    (folder / "deep" / "c.jsonl").write_bytes(lines(10, 2))
    body = b",".join(lines(20_000, 3).splitlines())
    (folder / "d.json").write_bytes(b'{"instances": [' + body + b"]}")
    return folder


@pytest.fixture(scope="module")
def whole(inputs, model, tmp_path_factory):
    """The output folder of an undisturbed run."""
    output = tmp_path_factory.mktemp("whole") / "out"
    status, _, err = finish(start(inputs, "--model", model, "--output", output))
    assert status == 0, err
    assert sorted(results(output)) == [
        "a.jsonl.out",
        "d.json.out",
        "deep/b.jsonl.gz.out",
        "deep/c.jsonl.out",
    ]
    assert results(output)["a.jsonl.out"].count(b"\n") == RECORDS
    return output


def wait_for_a_part(process, output, seconds=60):
    """Until the process has noted a part as done, or has ended, or time is up."""
    journal = output / ".o2v-transform" / "journal.jsonl"
    noted = journal.stat().st_size if journal.exists() else 0
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        if journal.exists() and journal.stat().st_size > noted:
            break
        time.sleep(0.005)


def killed(process, output, rng):
    """Kills the process at a random point, every second time after it has noted a part."""
    wait_for_a_part(process, output, 0.5 if rng.random() < 0.5 else 60)
    time.sleep(rng.uniform(0, 0.13))
    process.kill()
    process.communicate()


def test_kills_change_nothing(inputs, whole, model, tmp_path):
    output = tmp_path / "out"
    arguments = (inputs, "--model", model, "--output", output)
    rng, unfinished = random.Random(0), 0
    for _ in range(KILLS):
        killed(start(*arguments), output, rng)
        if not (output / ".o2v-transform").exists() and (output / "d.json.out").exists():
            break
        unfinished += 1
        for name, content in results(output).items():
            if not name.startswith(".o2v"):
                assert content == results(whole)[name], "only what is complete has its name"
    assert unfinished >= 0.6 * KILLS, "the run is too short for this test"
    if unfinished == KILLS:
        status, _, err = finish(start(*arguments))
        assert status == 0, err
    assert results(output) == results(whole)


def test_asked_to_stop_it_goes_on_later_with_what_is_left(inputs, whole, model, tmp_path):
    output = tmp_path / "out"
    arguments = (inputs, "--model", model, "--output", output)
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(*arguments)
        wait_for_a_part(process, output)
        process.send_signal(number)
        status, _, err = finish(process, timeout=30)
        assert status == 128 + number, err
        said = f"stopped by {number.name}; the same command resumes from {output}/.o2v-transform"
        assert err.splitlines() == [f"o2v: {said}"]
    status, _, err = finish(start(*arguments))
    assert status == 0, err
    assert f"4 of 4 files, {RECORDS + RECORDS // 4 + 20_010:,} records, " in err
    assert results(output) == results(whole)


def test_two_runs_do_not_share_a_folder(inputs, model, tmp_path):
    output = tmp_path / "out"
    arguments = (inputs, "--model", model, "--output", output)
    first = start(*arguments)
    while first.poll() is None and not (output / ".o2v-transform" / "manifest.json").exists():
        time.sleep(0.005)
    first.send_signal(signal.SIGSTOP)  # else it may be done before the second has started
    status, _, err = finish(start(*arguments))
    first.kill()
    first.communicate()
    assert status == 2
    assert err.splitlines() == [
        f"o2v: {output}/.o2v-transform: another o2v transform is running there"
    ]


def test_a_full_disk_is_told_and_finished_parts_are_not_scored_again(
    inputs, whole, model, tmp_path
):
    """A limit on the size of files stands for the disk's.

    What is on the disk is kept as it is: other bytes there survive going on.
    """
    output = tmp_path / "out"
    arguments = (inputs, "--model", model, "--output", output)
    process, most = start(*arguments), 3_000_000
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
    status, _, err = finish(process)
    assert status == 2
    (line,) = err.splitlines()
    assert line.startswith(f"o2v: {output}: cannot be written (File too large); what is done is ke")
    mark = b"#" * 20
    with (output / ".o2v-transform" / "000000.out").open("r+b") as stream:
        stream.write(mark)
    assert finish(start(*arguments))[0] == 0
    expected = results(whole)
    expected["a.jsonl.out"] = mark + expected["a.jsonl.out"][20:]
    assert results(output) == expected


PEAK = """
import resource, sys
from o2v_jax.cli import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_mb(model, file, output):
    arguments = ["transform", str(file), "--model", str(model), "--output", str(output)]
    command = [sys.executable, "-c", PEAK, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return int(done.stdout) / 1024


def test_memory_is_flat(model, tmp_path):
    content = lines(160_000, 0, spaces=0)  # two parts
    small, large = tmp_path / "small.jsonl", tmp_path / "large.jsonl"
    small.write_bytes(content * 2)
    large.write_bytes(content * 8)
    less, more = (peak_mb(model, file, tmp_path / file.stem) for file in (small, large))
    assert more < 1.2 * less, (less, more)
    assert (tmp_path / "large" / "large.jsonl.out").read_bytes().count(b"\n") == 8 * 160_000
