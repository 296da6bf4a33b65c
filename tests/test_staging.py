"""Directories of unfinished work: one's own, a living process's, and those of killed ones."""

import os
import signal
import subprocess
import sys

import pytest

from o2v_jax.staging import is_staging, open_staging, remove_abandoned

HOLDER = """
import sys
from pathlib import Path
from o2v_jax.staging import open_staging
with open_staging(Path(sys.argv[1]), ".data.", ".tmp") as directory:
    (directory / "folder").mkdir()
    (directory / "folder" / "half").touch()
    print(directory, flush=True)
    sys.stdin.read()
"""


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def holder(tmp_path):
    """A process that works in a staging directory until it is killed."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith(str(tmp_path / ".data."))
        yield process
        process.kill()


@pytest.mark.process
def test_only_what_no_living_process_holds_is_removed(tmp_path, holder):
    others = names(tmp_path)
    with open_staging(tmp_path, ".data.", ".tmp") as own:
        assert set(others) < set(names(tmp_path))
    assert names(tmp_path) == others
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert names(tmp_path) == others
    with open_staging(tmp_path, ".data.", ".tmp") as own:
        assert names(tmp_path) == [own.name, f"{own.name}.lock"]
    assert names(tmp_path) == []


def test_it_is_gone_after_an_error_and_after_it_was_renamed(tmp_path):
    with pytest.raises(KeyError), open_staging(tmp_path, "a") as directory:
        raise KeyError(directory)
    with open_staging(tmp_path, "a", names=["file"]) as directory:
        (directory / "file").touch()
        directory.rename(tmp_path / "result")
    assert names(tmp_path) == ["result"]
    assert names(tmp_path / "result") == ["file"]


@pytest.mark.parametrize("kind", ["fifo", "link", "plain"])
def test_what_others_made_under_such_a_name_does_no_harm(tmp_path, kind):
    lock, directory = tmp_path / f"a{'0' * 12}.lock", tmp_path / f"a{'0' * 12}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    directory.symlink_to(elsewhere)
    match kind:
        case "fifo":
            os.mkfifo(lock)
        case "link":
            lock.symlink_to(elsewhere / "precious")
        case _:
            lock.touch()
    remove_abandoned(tmp_path, "a")
    assert names(elsewhere) == ["precious"]


def test_only_named_files_are_deleted(tmp_path):
    with open_staging(tmp_path, "a", names=["file"]) as directory:
        (directory / "file").touch()
        (directory / "notes").touch()
    assert names(directory) == ["notes"]


@pytest.mark.parametrize("name", [".m.0123456789ab.tmp", ".m.0123456789ab.tmp.lock"])
def test_its_names_are_known(name):
    assert is_staging(name, ".m.", ".tmp")
    assert not is_staging(name.replace("ab", ""), ".m.", ".tmp")
    assert not is_staging(name, ".n.", ".tmp")
