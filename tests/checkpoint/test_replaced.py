"""Reading a model while others take its place: what is loaded or packed is always one of them."""

import json
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from o2v_jax.checkpoint import load, pack, save
from o2v_jax.checkpoint.loading import read_directory
from o2v_jax.data.tokenizers import share_text_vocabulary
from o2v_jax.data.vocabulary import Vocabulary
from o2v_jax.errors import CheckpointError
from o2v_jax.staging import open_staging
from o2v_jax.util import hash_file

SECONDS = 2.0

# two processes, started as one so that what they import is imported once
SAVERS = """
import os, sys
from o2v_jax.checkpoint import load, save
target, *sources = sys.argv[1:]
models = [load(source) for source in sources]
save(models[0], target)
os.fork()
os.write(1, b"begun\\n")
parent = os.getppid()
try:
    while os.getppid() == parent and not os.path.exists(target + ".stop"):
        for model in models:
            save(model, target)
except Exception as error:
    os.write(1, repr(error).encode())
os._exit(0)
"""


@pytest.fixture
def models(make_model):
    """Two models of one configuration, with vocabularies of their own."""
    tokens = {"<unk>": 1, "man": 19}, {"<unk>": 1, "man": 2, "woman": 19}
    return [
        replace(make_model(seed), tokenizers=share_text_vocabulary(vocabulary))
        for seed, vocabulary in enumerate(Vocabulary(each, lowercase=False) for each in tokens)
    ]


@pytest.fixture
def folders(tmp_path, models):
    """The directories of both."""
    return [save(model, tmp_path / name) for name, model in zip("ab", models, strict=True)]


@contextmanager
def being_replaced(target, folders):
    """Two processes that save one model and the other there, in turns."""
    command = [sys.executable, "-c", SAVERS, *map(str, (target, *folders))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as savers:
        try:
            assert [savers.stdout.readline() for _ in "12"] == ["begun\n"] * 2
            yield
        finally:
            target.with_name("model.stop").touch()
            assert savers.stdout.read() == ""  # both have ended, and without an error


@pytest.mark.process
def test_no_two_models_are_mixed(tmp_path, models, folders, difference):
    """One load in four was of both where each file was opened by its path."""
    target, archive = tmp_path / "model", tmp_path / "model.tar.gz"
    seen = {0: 0, 1: 0}
    with being_replaced(target, folders):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for found in (load(target), load(pack(target, archive))):
                (which,) = (n for n, model in enumerate(models) if not difference(found, model))
                seen[which] += 1
    assert min(seen.values()) > 5


def test_what_was_opened_stays_readable(folders, models, difference):
    with ExitStack() as stack:
        model, snapshot = read_directory(folders[0], stack)
        assert not snapshot.is_outdated()
        save(models[1], folders[0])
        assert snapshot.is_outdated()
        assert snapshot.read("vocab.json", 10**6) == models[0].tokenizers[0].vocabulary.to_json()
    assert difference(model, models[0]) == set()


def move(folder, target, *names):
    for name in names:
        (folder / name).replace(target / name)


@pytest.mark.parametrize("early", [True, False])
def test_a_model_replaced_file_by_file_is_waited_for(folders, models, difference, early):
    """So models are replaced in a mount point."""
    one, other = folders
    first = ("params.safetensors", "vocab.json")
    if early:
        edit_out_digests(one)
    with open_staging(one, f".{one.name}.", ".tmp"):
        move(other, one, *first)
        rest = [path.name for path in other.iterdir()]
        timer = threading.Timer(0.05, move, (other, one, *rest))
        timer.start()
        assert difference(load(one), models[1]) == set()
        timer.join()


def test_a_whole_model_beside_what_a_killed_process_left_loads(folders, models, difference):
    edit_out_digests(folders[0])
    (folders[0] / f".{folders[0].name}.0123456789ab.tmp.lock").touch()
    assert difference(load(folders[0]), models[0]) == set()


def test_a_model_that_is_aside_for_a_moment_is_waited_for(folders, models, difference):
    """So models are replaced where two directories cannot change names in one step."""
    one, other = folders
    with open_staging(one.parent, f".{one.name}.", ".tmp") as process:
        one.rename(process.with_suffix(".old"))
        timer = threading.Timer(0.05, other.rename, [one])
        timer.start()
        assert difference(load(one), models[1]) == set()
        timer.join()


def test_one_that_stays_mixed_is_refused(folders):
    with open_staging(folders[0], f".{folders[0].name}.", ".tmp"):
        move(folders[1], folders[0], "vocab.json")
        with pytest.raises(CheckpointError, match=r"vocab\.json is not the file that was written"):
            load(folders[0])


def edit_out_digests(folder):
    """Makes a model as early releases wrote it."""
    path = folder / "params.safetensors"
    save_file(load_file(path), path)
    document = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps(document | {"params_sha256": hash_file(path)}))


@pytest.mark.parametrize("name", ["vocab.json", "metrics.json", "provenance.json"])
def test_each_file_is_covered_by_a_digest(folders, models, difference, name):
    one, other = folders
    (one / name).write_bytes((other / name).read_bytes())
    with pytest.raises(CheckpointError, match=f"{name} is not the file that was written"):
        load(one)
    (one / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load(one)
    edit_out_digests(one)
    if name != "vocab.json":
        assert difference(load(one), models[0]) == {name.removesuffix(".json")}


def test_the_digests_stand_where_early_releases_do_not_look(folders):
    document = json.loads((folders[0] / "config.json").read_bytes())
    assert document["format_version"] == 2
    assert {"params_sha256"} == {key for key in document if "sha256" in key}
    with safe_open(folders[0] / "params.safetensors", "numpy") as file:
        digests = json.loads(file.metadata()["files_sha256"])
    names = "metrics.json", "provenance.json", "vocab.json"
    assert digests == {name: hash_file(folders[0] / name) for name in names}


def test_an_archive_is_no_directory_to_pack(folders):
    archive = pack(folders[0], folders[0].with_suffix(".tar.gz"))
    with pytest.raises(CheckpointError, match="is a file, but a model directory is packed"):
        pack(archive, archive.with_name("again"))
    with tarfile.open(archive) as file:
        assert len(file.getmembers()) == 5
