"""The cache is a directory that nobody else can write to, whoever asks for it."""

import logging
import os
import pwd
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from o2v_jax import cache_directory as module
from o2v_jax.cache_directory import cache_directory

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The directory of temporary files, and no cache that is chosen."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    monkeypatch.delenv("O2V_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    module._choose_directory.cache_clear()
    yield directory
    module._choose_directory.cache_clear()


@pytest.fixture
def homeless(monkeypatch):
    """A user whom the system does not know, as a container has any."""

    def unknown(_number):
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_chosen_directory_is_taken_as_it_is(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("O2V_CACHE_DIR", str(shared))
    assert cache_directory() == shared


@pytest.mark.parametrize("base", ["XDG_CACHE_HOME", "HOME"])
def test_a_users_own_cache_is_made_for_the_user_alone(tmp_path, monkeypatch, base):
    monkeypatch.setenv(base, str(tmp_path / "new"))
    directory = tmp_path / "new" / ("" if base == "XDG_CACHE_HOME" else ".cache") / "o2v_jax"
    assert cache_directory() == directory
    assert mode_of(directory) == 0o700


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o750])
def test_a_users_own_cache_is_kept_if_others_can_only_read_it(tmp_path, mode):
    directory = tmp_path / "home" / ".cache" / "o2v_jax"
    directory.mkdir(parents=True)
    directory.chmod(mode)
    assert cache_directory() == directory


@pytest.mark.parametrize("base", ["XDG_CACHE_HOME", "HOME"])
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
def test_one_that_others_can_change_is_not(tmp_path, temporary, monkeypatch, caplog, base, mode):
    monkeypatch.setenv(base, str(tmp_path / "new"))
    directory = tmp_path / "new" / ("" if base == "XDG_CACHE_HOME" else ".cache") / "o2v_jax"
    directory.mkdir(parents=True)
    directory.chmod(mode)
    with caplog.at_level(logging.WARNING):
        assert cache_directory() == cache_directory() == temporary / f"o2v_jax-{os.geteuid()}"
    kept = temporary / f"o2v_jax-{os.geteuid()}"
    reason = "can be changed by others (chmod go-w makes it safe)"
    assert caplog.messages == [f"{directory} {reason}: the cache is kept in {kept}"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_nor_one_of_another_user(tmp_path, temporary):
    directory = tmp_path / "home" / ".cache" / "o2v_jax"
    directory.mkdir(parents=True)
    os.chown(directory, 4321, -1)
    assert cache_directory().parent == temporary


@pytest.mark.parametrize("mode", [0o700, 0o777, 0o1777])
def test_one_that_others_can_replace_is_not_used(tmp_path, temporary, monkeypatch, caplog, mode):
    base = tmp_path / "base"
    base.mkdir()
    base.chmod(mode)
    if mode == 0o700 and os.geteuid() == 0:  # another user's, to whom it would be open
        os.chown(base, 4321, -1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(base))
    is_safe = mode == 0o1777 or (mode == 0o700 and os.geteuid() != 0)
    with caplog.at_level(logging.WARNING):
        assert (cache_directory() == base / "o2v_jax") == is_safe
    assert is_safe == (not caplog.messages)


def test_a_home_that_is_no_directory_is_passed_over(tmp_path, temporary, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert cache_directory() == temporary / f"o2v_jax-{os.geteuid()}"


@pytest.mark.usefixtures("homeless")
def test_without_a_home_it_is_a_private_directory_and_always_the_same(temporary):
    directory = temporary / f"o2v_jax-{os.geteuid()}"
    assert cache_directory() == directory
    assert mode_of(directory) == 0o700
    module._choose_directory.cache_clear()
    assert cache_directory() == directory


def is_open(directory):
    directory.mkdir()
    directory.chmod(0o755)


def is_a_link(directory):
    own = directory.parent / "other"
    own.mkdir(mode=0o700)
    directory.symlink_to(own)


def is_a_dead_link(directory):
    directory.symlink_to(directory.parent / "nothing")


def is_a_file(directory):
    directory.touch(mode=0o600)


def is_anothers(directory):
    directory.mkdir(mode=0o700)
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(directory, 4321, -1)


@pytest.mark.parametrize("taken", [is_open, is_a_link, is_a_dead_link, is_a_file, is_anothers])
@pytest.mark.usefixtures("homeless")
def test_where_its_name_is_taken_it_is_a_new_one(temporary, taken):
    known = temporary / f"o2v_jax-{os.geteuid()}"
    taken(known)
    directory = cache_directory()
    assert directory == cache_directory() != known
    assert (directory.parent, mode_of(directory)) == (temporary, 0o700)
    assert not directory.is_symlink()


@pytest.mark.process
@pytest.mark.parametrize("user", [os.geteuid(), 4321])
def test_a_process_of_any_user_without_a_home(user):
    """As where a container's user has no name; the new directory ends with the process."""
    if os.geteuid() not in {0, user}:
        pytest.skip("only root can become another user")
    code = (
        "import os, sys\n"
        "from o2v_jax.cache_directory import cache_directory\n"
        f"os.setuid({user})\n"
        "print(cache_directory(), os.stat(cache_directory()).st_uid)\n"
    )
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        Path(temporary).chmod(0o1777)
        known = Path(temporary, f"o2v_jax-{user}")
        known.mkdir()
        known.chmod(0o755)
        environment = {"TMPDIR": temporary, "HOME": "/proc", "PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        directory, owner = done.stdout.split()
        assert (Path(directory).parent, int(owner)) == (Path(temporary), user)
        assert list(Path(temporary).iterdir()) == [known]
        assert list(known.iterdir()) == []
