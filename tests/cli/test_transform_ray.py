"""`o2v transform --engine ray`: workers of Ray give what one process gives, whoever is killed."""

import gzip
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from o2v_jax.errors import RecordError
from o2v_jax.transform import TransformSettings
from o2v_jax.transform.engines.ray_worker import Piece, gather_texts

pytestmark = pytest.mark.ray

KILLS = int(os.environ.get("O2V_TEST_KILLS", "0"))
RECORDS = 160_000 * max(1, KILLS)
killing = pytest.mark.skipif(
    not KILLS, reason="starts and kills workers for minutes: O2V_TEST_KILLS=2 says how many"
)
CLUSTER = """
import ray, sys
from o2v_jax.transform.engines.ray_cluster import connect, import_ray
ray = import_ray(alone=True)
with connect(ray, None, workers=2, model_bytes=0):
    print(ray.get_runtime_context().gcs_address, file=sys.__stdout__, flush=True)
    sys.stdin.read()
"""


def lines(records, seed):
    ids = np.random.default_rng(seed).integers(1, 20, (records, 8)).tolist()
    pairs = b'{"in0": [%d, %d, %d, %d, %d], "in1": [%d, %d, %d]}\n'
    return b"".join(pairs % tuple(row) for row in ids)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Files of several parts, compressed, of documents, Parquet, texts, and with bad records."""
    folder = tmp_path_factory.mktemp("ray") / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(lines(RECORDS, 0))
    (folder / "bad.jsonl").write_bytes(lines(5, 1) + b'{"in0": [99]}\nnot json\n' + lines(5, 2))
    (folder / "deep" / "b.jsonl.gz").write_bytes(gzip.compress(lines(150_000, 3), 1))
    body = b",".join(lines(1000, 4).splitlines())
    (folder / "d.json").write_bytes(b'{"instances": [' + body + b"]}")
    (folder / "words.jsonl").write_text('{"in0": "A man is sleeping.", "in1": "nobody"}\n' * 3)
    sides = {"in0": [[1, 2], [3]] * 500, "in1": [[4], [5, 6]] * 500}
    pq.write_table(pa.table(sides), folder / "e.parquet")
    return folder


@pytest.fixture(scope="module")
def cluster():
    """The id and the address of a Ray that stays for all tests here, on 127.0.0.1."""
    with pytest.MonkeyPatch.context() as patch:
        # so that drivers too look for it there
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER], stdin=pipe, stdout=pipe, text=True
        )
        yield process.pid, process.stdout.readline().strip()
        process.communicate(timeout=60)
        assert process.returncode == 0


@pytest.fixture
def start(inputs, model, cluster, tmp_path):
    """Starts `o2v transform` with two workers of the cluster."""

    def run(*arguments):
        command = [sys.executable, "-m", "o2v_jax", "transform", inputs, "--model", model]
        command += ["--output", tmp_path / "out", "--engine", "ray", "--ray-workers", 2]
        command += ["--ray-address", cluster[1], *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen([*map(str, command)], stdout=pipe, stderr=pipe, text=True)

    return run


def finish(process):
    out, err = process.communicate(timeout=400)
    assert out == ""
    return process.returncode, err


@pytest.fixture(scope="module")
def local(inputs, model, tmp_path_factory):
    """What one process writes where bad records are skipped, and how it sums that up."""
    output = tmp_path_factory.mktemp("local") / "out"
    command = [sys.executable, "-m", "o2v_jax", "transform", inputs, "--model", model]
    command += ["--output", output, "--on-error", "skip"]
    pipe = subprocess.PIPE
    status, err = finish(
        subprocess.Popen([*map(str, command)], stdout=pipe, stderr=pipe, text=True)
    )
    assert status == 0, err
    return results(output), summary(err)


def results(folder):
    """The contents of complete files, by name."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*.out")}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(".")}


def summary(err):
    """Files and records that the last line tells of, without the rate."""
    return err.splitlines()[-1].partition(" records")[0]


def descendants(pid):
    """Ids of all that a process started."""
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, file.read_text().split()):
                yield child
                yield from descendants(child)


def workers_of(pid):
    """Ids of the processes that score."""
    for child in descendants(pid):
        with suppress(OSError):
            if Path(f"/proc/{child}/cmdline").read_text().startswith("ray::Worker"):
                yield child


def journal(output):
    file = output / ".o2v-transform" / "journal.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def wait_for_a_part(process, output):
    before, end = journal(output), time.monotonic() + 200
    while process.poll() is None and time.monotonic() < end and journal(output) <= before:
        time.sleep(0.005)


def test_two_workers_give_the_same_bytes_and_counts(start, local, tmp_path):
    status, err = finish(start("--on-error", "skip"))
    assert status == 0, err
    assert "Traceback" not in err
    assert summary(err) == local[1]
    assert "2 of them bad" in err
    assert "% padding" in err
    assert results(tmp_path / "out") == local[0]
    assert len(local[0]) == 6


@killing
def test_killed_workers_cost_nothing_and_a_bad_record_its_file(start, local, cluster, tmp_path):
    process, rng = start(), random.Random(0)
    killed = set()
    while process.poll() is None and len(killed) < KILLS:
        if not killed:
            wait_for_a_part(process, tmp_path / "out")
        if workers := sorted(set(workers_of(cluster[0])) - killed):
            killed.add(victim := rng.choice(workers))
            os.kill(victim, signal.SIGKILL)
        time.sleep(rng.uniform(0, 0.5))
    status, err = finish(process)
    assert killed
    assert status == 2
    assert "bad.jsonl:6 $.in0[0]: 99 is outside the vocabulary 0..19\n" in err
    assert "\n4 of 5 files" in err
    expected = {name: content for name, content in local[0].items() if "bad" not in name}
    assert results(tmp_path / "out") == expected


@killing
def test_a_killed_driver_costs_little(start, local, tmp_path):
    process = start("--on-error", "skip")
    wait_for_a_part(process, tmp_path / "out")
    process.kill()
    process.communicate()
    assert (tmp_path / "out" / ".o2v-transform" / "manifest.json").exists()
    assert journal(tmp_path / "out")
    status, err = finish(start("--on-error", "skip"))
    assert status == 0, err
    assert results(tmp_path / "out") == local[0]
    assert not (tmp_path / "out" / ".o2v-transform").exists()


def listening(pids):
    """The addresses where processes listen, as the kernel writes them in hexadecimal."""
    links = [fd.readlink() for pid in pids for fd in Path(f"/proc/{pid}/fd").iterdir()]
    inodes = {str(link)[8:-1] for link in links if str(link).startswith("socket:[")}
    for table in ("tcp", "tcp6"):
        for row in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and fields[9] in inodes:
                yield fields[1].partition(":")[0]


@killing
def test_a_ray_of_its_own_is_private_and_ends_with_a_signal(inputs, model, tmp_path):
    output = tmp_path / "out"
    command = [sys.executable, "-m", "o2v_jax", "transform", inputs, "--model", model]
    command += ["--output", output, "--engine", "ray"]
    pipe = subprocess.PIPE
    process = subprocess.Popen([*map(str, command)], stdout=pipe, stderr=pipe, text=True)
    wait_for_a_part(process, output)
    started = set(descendants(process.pid))
    assert len(set(workers_of(process.pid))) == 1
    addresses = set(listening(started))
    process.terminate()
    status, err = finish(process)
    assert status == 128 + signal.SIGTERM, err
    assert f"stopped by SIGTERM; the same command resumes from {output}/.o2v-t" in err
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F"}
    assert addresses
    end = time.monotonic() + 10
    while time.monotonic() < end and any(Path(f"/proc/{pid}").exists() for pid in started):
        time.sleep(0.05)
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []


@pytest.fixture
def transform(o2v, model, tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(lines(3, 0))
    return lambda *arguments: o2v(
        "transform", file, "--model", model, "--output", tmp_path / "out", *arguments
    )


def test_without_ray_it_says_how_to_get_it(transform, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = transform("--engine", "ray")
    assert result.status == 2
    assert result.err.startswith("o2v: --engine ray needs ray: install the extra [ray] of o2v_jax")
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ray-workers", 2), "--ray-address and --ray-workers need --engine ray"),
        (("--ray-address", "auto"), "--ray-address and --ray-workers need --engine ray"),
        (("--engine", "ray", "--ray-workers", 0), "0 is not in the range x>=1"),
        (("--engine", "ray", "--endpoint", "http://x"), "leave --engine ray out"),
        (("--engine", "ray", "--ray-address", "127.0.0.1:9"), "127.0.0.1:9: nothing answers there"),
        (("--engine", "ray", "--ray-address", "nonsense"), "nonsense"),
    ],
)
def test_refusals_are_one_line(transform, monkeypatch, arguments, message):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    result = transform(*arguments)
    assert result.status == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_an_address_in_the_environment_matters_to_ray_alone(transform, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    assert transform().status == 0
    assert "127.0.0.1:9: nothing answers" in transform("--engine", "ray").err


def test_what_is_told_of_a_part_is_kept_between_processes():
    import pickle  # noqa: PLC0415

    piece = Piece(error=RecordError("a.jsonl:1 $", "is bad"))
    again = pickle.loads(pickle.dumps(piece))
    assert str(again.error) == "a.jsonl:1 $: is bad"
    settings = TransformSettings(output_filter="$['id','SageMakerOutput']").of(Path("a.jsonl"))
    same = pickle.loads(pickle.dumps(settings)).output_filter
    assert same({"id": 1, "SageMakerOutput": 2, "x": 3}) == {"id": 1, "SageMakerOutput": 2}


@pytest.mark.parametrize("size", [1, 3, 100])
def test_texts_are_gathered_without_a_change(size):
    texts = [json.dumps(n).encode() for n in range(20)]
    found = list(gather_texts(texts, size))
    assert b"".join(found) == b"".join(texts)
    assert all(size <= len(text) <= size + 1 for text in found[:-1])
