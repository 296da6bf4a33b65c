"""The cache of columns: found by content, never wrong, never in the way."""

import logging
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.lib.format import open_memmap

from o2v_jax.errors import InputError, RecordError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.training.data.dataset import read_dataset

CONFIG = Hyperparameters(enc0_max_seq_len=4, enc0_vocab_size=20, enc_dim=8, num_classes=3)
GOOD = '{"label": 1, "in0": [3, 4], "in1": [5]}\n'
OTHER = '{"label": 0, "in0": [6], "in1": []}\n'


@pytest.fixture
def files(tmp_path):
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    one.write_text(GOOD + OTHER + GOOD)
    two.write_text(OTHER)
    return [one, two]


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "data"


def content(data):
    sides = [data.rows(side, np.arange(len(data))) for side in (0, 1)]
    return data.labels.tolist(), [(s.ids.tolist(), s.offsets.tolist()) for s in sides]


def entries(cache):
    """The name of every entry, and the inodes of its files: others if it was written again."""
    return {
        entry.name: {file.name: file.stat().st_ino for file in entry.iterdir()}
        for entry in cache.iterdir()
    }


def is_mapped(data):
    return all(
        isinstance(column, np.memmap)
        for side in (data.in0, data.in1)
        for column in (side.ids, side.offsets)
    )


def test_columns_are_mapped_at_once_and_when_found_again(files, cache):
    first = read_dataset(files, CONFIG, cache=cache)
    written = entries(cache)
    again = read_dataset(files, CONFIG, cache=cache)
    assert is_mapped(first)
    assert is_mapped(again)
    assert content(first) == content(again)
    assert entries(cache) == written
    assert len(written) == 1


def test_the_second_reading_parses_nothing(files, cache):
    read_dataset(files, CONFIG, cache=cache)
    (entry,) = cache.iterdir()
    labels = open_memmap(entry / "labels.npy", mode="r+")
    labels[0] = 2
    labels.flush()
    assert read_dataset(files, CONFIG, cache=cache).labels.tolist() == [2, 0, 1, 0]


def test_the_same_content_elsewhere_is_found_under_its_own_name(files, cache, tmp_path):
    files[0].write_text(GOOD + "[]\n")
    read_dataset(files, CONFIG, cache=cache, skip=True)
    written = entries(cache)
    moved = tmp_path / "elsewhere.jsonl"
    shutil.copy(files[0], moved)
    with pytest.raises(RecordError, match=r"elsewhere.jsonl:2 \$: expected an object"):
        read_dataset([moved, files[1]], CONFIG, cache=cache)
    assert entries(cache) == written


@pytest.mark.parametrize("change", ["content", "order", "boundary"])
def test_other_content_misses(files, cache, change):
    read_dataset(files, CONFIG, cache=cache)
    if change == "content":
        files[1].write_text(OTHER.replace("6", "7"))
    elif change == "order":
        files.reverse()
    else:
        files[0].write_text(GOOD + OTHER)
        files[1].write_text(GOOD + OTHER)
    changed = read_dataset(files, CONFIG, cache=cache)
    assert len(entries(cache)) == 2
    text = "".join(file.read_text() for file in files)
    assert changed.labels.tolist() == [int(line[10]) for line in text.splitlines()]


def test_one_entry_serves_every_configuration(files, cache):
    wide = Hyperparameters(enc0_max_seq_len=1, enc0_vocab_size=9, enc_dim=8, num_classes=2)
    narrow = Hyperparameters(enc0_max_seq_len=1, enc0_vocab_size=6, enc_dim=8, num_classes=2)
    read_dataset(files, CONFIG, cache=cache)
    written = entries(cache)
    assert read_dataset(files, wide, cache=cache).lengths(0).tolist() == [1, 1, 1, 1]
    with pytest.raises(RecordError, match=r"one.jsonl:2 \$.in0\[0\]: 6 is outside .* 0..5"):
        read_dataset(files, narrow, cache=cache)
    skipped = read_dataset(files, narrow, cache=cache, skip=True)
    assert (skipped.labels.tolist(), skipped.skipped.count) == ([1, 1], 2)
    assert entries(cache) == written


def test_what_was_not_read_to_the_end_is_not_kept(files, cache):
    files[0].write_text(GOOD + "[]\n" + GOOD)
    with pytest.raises(RecordError):
        read_dataset(files, CONFIG, cache=cache)
    assert entries(cache) == {}
    assert read_dataset(files, CONFIG, cache=cache, skip=True).labels.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    "name", ["in0.ids.npy", "in1.offsets.npy", "labels.npy", "lines.npy", "summary.json"]
)
@pytest.mark.parametrize("damage", ["missing", "short", "long", "directory"])
def test_a_damaged_entry_is_made_again(files, cache, name, damage):
    expected = content(read_dataset(files, CONFIG, cache=cache))
    sound = sorted(next(iter(entries(cache).values())))
    file = next(cache.iterdir()) / name
    data = file.read_bytes()
    file.unlink()
    if damage == "short":
        file.write_bytes(data[:-1])
    elif damage == "long":
        file.write_bytes(data + b"x")
    elif damage == "directory":
        file.mkdir()
    assert content(read_dataset(files, CONFIG, cache=cache)) == expected
    (again,) = entries(cache).values()
    assert sorted(again) == sound
    assert is_mapped(read_dataset(files, CONFIG, cache=cache))
    assert entries(cache) == {next(iter(entries(cache))): again}


def test_offsets_that_do_not_rise_are_damage(files, cache):
    read_dataset(files, CONFIG, cache=cache)
    offsets = open_memmap(next(cache.iterdir()) / "in0.offsets.npy", mode="r+")
    offsets[1] = 99
    offsets.flush()
    assert read_dataset(files, CONFIG, cache=cache).lengths(0).tolist() == [2, 1, 2, 1]


def test_mapped_data_outlives_its_entry(files, cache):
    data = read_dataset(files, CONFIG, cache=cache)
    expected = content(data)
    shutil.rmtree(cache)
    assert content(data) == expected


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_cache_that_cannot_be_made_is_a_warning(files, tmp_path, temporary, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with caplog.at_level(logging.WARNING):
        data = read_dataset(files, CONFIG, cache=blocked / "data")
    assert data.labels.tolist() == [1, 0, 1, 0]
    assert is_mapped(data)
    assert len(caplog.messages) == 1
    said = f"{blocked}/data: cannot be written (Not a directory): these data are read into temp"
    assert caplog.messages[0].startswith(said)
    assert not list(temporary.iterdir())


@contextmanager
def files_of_at_most(size):
    """The system refuses to make files longer, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("block_bytes", [40, 2**24])
def test_without_any_room_on_disk_memory_serves(files, cache, temporary, caplog, block_bytes):
    expected = content(read_dataset(files, CONFIG, cache=cache / "other"))
    with caplog.at_level(logging.WARNING), files_of_at_most(20):
        data = read_dataset(files, CONFIG, cache=cache, block_bytes=block_bytes)
    assert content(data) == expected
    assert not is_mapped(data)
    assert [message.split(": ")[-1] for message in caplog.messages] == [
        "these data are read into temporary files",
        "these data are read into memory",
    ]
    assert [entry.name for entry in cache.iterdir()] == ["other"]
    assert not list(temporary.iterdir())


def test_a_pipe_that_could_not_be_kept_is_not_read_twice(cache, tmp_path, temporary, caplog):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(GOOD * 9,))
    writer.start()
    with files_of_at_most(20), pytest.raises(InputError, match=r"pipe: .* it cannot be reread"):
        read_dataset([pipe], CONFIG, cache=cache)
    writer.join()
    assert len(caplog.messages) == 1


def age(entry, days):
    then = time.time() - days * 24 * 3600
    for path in [*entry.iterdir(), entry]:
        os.utime(path, (then, then))


def test_what_nobody_used_for_long_is_removed_by_the_next_write(files, cache, tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.jsonl").write_text(GOOD * (number + 1))
        read_dataset([tmp_path / f"{number}.jsonl"], CONFIG, cache=cache)
    old, used, young = sorted(cache.iterdir(), key=lambda entry: int(entry.name.split("-")[0]))
    stranger = cache / "notes"
    for entry, days in ((old, 31), (used, 31), (young, 29), (stranger, 99)):
        entry.mkdir(exist_ok=True)
        age(entry, days)
    read_dataset([tmp_path / "1.jsonl"], CONFIG, cache=cache)
    assert old.exists()
    read_dataset(files, CONFIG, cache=cache)
    assert not old.exists()
    assert used.exists()
    assert young.exists()
    assert stranger.exists()
    assert len(entries(cache)) == 4


READ = """
import os, sys
from pathlib import Path
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.training.data.dataset import read_dataset
config = Hyperparameters(enc0_max_seq_len=4, enc0_vocab_size=20, enc_dim=8, num_classes=3)
file, cache, readers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
while readers > 1 and os.fork():  # the first forks the others: they begin almost at once
    readers -= 1
data = read_dataset([file], config, cache=cache, block_bytes=1000)
os.write(1, f"{len(data)} {int(data.labels.sum())}\\n".encode())
"""


def read_in_a_process(file, cache, readers=1):
    """Starts processes that read a file at the same time; each says what it found."""
    command = [sys.executable, "-c", READ, str(file), str(cache), str(readers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.process
def test_processes_that_read_at_the_same_time_agree(cache, tmp_path):
    file = tmp_path / "some.jsonl"
    file.write_text((GOOD + OTHER) * 2000)
    with read_in_a_process(file, cache, readers=3) as readers:
        found = readers.stdout.read()  # until all of them have ended
    assert found == "4000 2000\n" * 3
    assert len(entries(cache)) == 1
    assert is_mapped(read_dataset([file], CONFIG, cache=cache))


@pytest.mark.process
def test_what_a_killed_process_left_is_removed_and_no_living_ones(files, cache, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # opened once the reader has opened it, and so has begun to write
    with read_in_a_process(pipe, cache) as reader, pipe.open("w"):
        until = time.monotonic() + 60
        while not list(cache.glob(".*.tmp/*")) and time.monotonic() < until:
            time.sleep(0.05)
        (unfinished,) = cache.glob(".*.tmp")
        read_dataset(files[:1], CONFIG, cache=cache)
        assert unfinished.exists()
        reader.kill()
        reader.wait()
    read_dataset(files, CONFIG, cache=cache)
    assert len(entries(cache)) == len(list(cache.iterdir())) == 2


def test_the_default_place_is_the_cache_directory(files, monkeypatch, tmp_path):
    monkeypatch.setenv("O2V_CACHE_DIR", str(tmp_path / "mine"))
    read_dataset(files, CONFIG)
    assert len(entries(tmp_path / "mine" / "data")) == 1
