"""Writing a model directory: all of it or nothing, and nobody else's files are touched."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from o2v_jax.atomic import exchange, exchange_by_renaming, is_fixed, replace_directory
from o2v_jax.checkpoint import Model, flatten, load, nest, save
from o2v_jax.data.tokenizers import share_text_vocabulary
from o2v_jax.data.vocabulary import Vocabulary
from o2v_jax.errors import CheckpointError


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def with_arrays(model, change):
    return replace(model, params=nest(change(flatten(model.params))))


def test_a_model_comes_back_as_it_was(saved, make_model, difference):
    arrays = flatten(make_model().params).keys()
    others = {"tokenizers", "metrics", "provenance", "length_histogram"}
    assert difference(make_model(), make_model(1)) == {*arrays, *others}
    assert difference(load(saved), make_model()) == set()


def test_a_model_may_have_neither_words_nor_figures(tmp_path, make_model):
    model = Model(make_model().config, make_model().params)
    bare = load(save(model, tmp_path / "new" / "model"))
    assert (bare.tokenizers, bare.metrics, bare.provenance) == (None, {}, {})
    assert bare.length_histogram is None
    assert names(tmp_path / "new") == ["model"]


def test_the_files_are_plain_json(saved, make_model):
    document = json.loads((saved / "config.json").read_bytes())
    assert (document["format"], document["format_version"]) == ("o2v_jax", 2)
    assert document["hyperparameters"] == make_model().config.to_strings()
    assert document["length_histogram"] == {"in0": {"1": 3}, "in1": {"0": 1, "3": 2}}
    text = {"kind": "text", "tokenizer": "treebank", "lowercase": False, "vocabulary": "vocab.json"}
    assert document["inputs"] == {"in0": text, "in1": text}
    assert json.loads((saved / "vocab.json").read_bytes()) == {"<unk>": 1, "man": 19}


def test_the_files_have_the_modes_that_the_user_asks_for(saved):
    umask = os.umask(0)
    os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in saved.iterdir()} == {0o666 & ~umask}
    assert saved.stat().st_mode & 0o777 == 0o777 & ~umask


def test_numpy_figures_are_written_and_those_not_finite_as_null(tmp_path, make_model):
    model = replace(make_model(), metrics={"a": np.float32(0.5), "b": float("nan")})
    assert load(save(model, tmp_path / "m")).metrics == {"a": 0.5, "b": None}


def test_equal_models_give_equal_files(tmp_path, make_model):
    one, two = (save(make_model(), tmp_path / name) for name in "ab")
    assert names(one) == names(two)
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names(one))


def test_memory_order_does_not_matter(tmp_path, make_model, difference):
    fortran = with_arrays(
        make_model(), lambda arrays: {n: np.asarray(a, order="F") for n, a in arrays.items()}
    )
    assert difference(load(save(fortran, tmp_path / "m")), make_model()) == set()


TOO_LARGE = share_text_vocabulary(Vocabulary({"a": 20}))
WRONG = {
    "'extra' is unexpected": lambda m: with_arrays(m, lambda a: a | {"extra": np.float32([1])}),
    "'embed_0.weight' is missing": lambda m: with_arrays(
        m, lambda a: {n: v for n, v in a.items() if n != "embed_0.weight"}
    ),
    "it is float64": lambda m: with_arrays(m, lambda a: {n: np.float64(v) for n, v in a.items()}),
    "not finite": lambda m: with_arrays(m, lambda a: {n: v / 0.0 for n, v in a.items()}),
    "below the vocab_size 20": lambda m: replace(m, tokenizers=TOO_LARGE),
    "metrics.json cannot be written as JSON": lambda m: replace(m, metrics={"a": object()}),
    "length_histogram.in0": lambda m: replace(m, length_histogram=(np.array([-1]), np.zeros(1))),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("message", WRONG)
def test_what_load_would_refuse_is_not_written(saved, make_model, difference, message):
    with pytest.raises(CheckpointError, match=message):
        save(WRONG[message](make_model()), saved)
    assert difference(load(saved), make_model()) == set()
    assert names(saved.parent) == ["model"]


def test_saving_again_replaces_every_file(saved, make_model):
    save(Model(make_model().config, make_model(1).params), saved)
    assert load(saved).tokenizers is None
    assert load(saved).metrics == {}
    assert names(saved.parent) == ["model"]


def test_other_peoples_files_are_never_deleted(saved, make_model, difference):
    (saved / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"holds other things than a model \(notes\.txt\)"):
        save(make_model(1), saved)
    assert (saved / "notes.txt").read_text() == "mine"
    assert difference(load(saved), make_model()) == set()


@pytest.mark.parametrize("content", ['{"architectures": ["Bert"]}', "oops"])
def test_another_librarys_model_is_not_replaced(tmp_path, make_model, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match="is not empty and not an o2v_jax model"):
        save(make_model(), tmp_path)
    assert (tmp_path / "config.json").read_text() == content


def test_a_file_is_not_replaced(tmp_path, make_model):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(CheckpointError, match="is a file"):
        save(make_model(), tmp_path / "model")


def test_a_place_that_cannot_be_written_is_an_error_of_the_family(tmp_path, make_model):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot be made: Not a directory"):
        save(make_model(), tmp_path / "file" / "model")


def test_an_empty_directory_and_a_link_are_written_to(tmp_path, saved, make_model, difference):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(saved)
    assert difference(load(save(make_model(1), tmp_path / "empty")), make_model(1)) == set()
    assert save(make_model(1), tmp_path / "link") == saved
    assert difference(load(saved), make_model(1)) == set()


# each killed process is a child, so that what they import is imported once
KILLED = """
import json, os, signal, sys
sys.path[:0] = {path!r}
from o2v_jax import atomic
from o2v_jax.checkpoint import load, save

def save_until_killed(function, after, source, target):
    doomed = getattr(atomic, function)
    def last(*arguments):
        if after:
            doomed(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(atomic, function, last)
    save(load(source), target)

for moment in json.loads({moments!r}):
    if not os.fork():
        save_until_killed(*moment)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.process
def test_a_killed_process_leaves_a_whole_model(tmp_path, make_model, difference):
    moments = [("sync", False), ("exchange", False), ("exchange", True)]
    folders = [tmp_path / f"{function} {after}" for function, after in moments]
    plans = []
    for folder, moment in zip(folders, moments, strict=True):
        target, source = save(make_model(), folder / "model"), save(make_model(1), folder / "other")
        plans.append([*moment, str(source), str(target)])
    code = KILLED.format(path=sys.path, moments=json.dumps(plans))
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(-signal.SIGKILL)] * len(moments)
    for folder, (_, after) in zip(folders, moments, strict=True):
        saved = folder / "model"
        assert difference(load(saved), make_model(1 if after else 0)) == set()
        assert len(names(folder)) > 2
        assert difference(load(save(make_model(2), saved)), make_model(2)) == set()
        assert names(folder) == ["model", "other"]


def test_a_former_model_left_aside_goes_when_a_new_one_is_there(saved, make_model):
    held = saved.with_name(".model.0123456789ab.old")
    saved.rename(held)
    other = save(make_model(1), saved.with_name("model.x")).rename(
        saved.with_name(".model.x.0123456789ab.old")
    )
    lock = saved.with_name(".model.0123456789ab.tmp.lock")
    lock.touch()
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as a process does that is about to give it its name
        save(make_model(1), saved)
    assert held.exists()
    save(make_model(1), saved)
    assert names(saved.parent) == [other.name, "model"]


def interrupted(target):
    with replace_directory(target, ["a"], last="a") as staging:
        (staging / "a").write_text("half")
        raise KeyboardInterrupt


def test_an_exception_in_the_middle_leaves_the_old_model(saved, make_model, difference):
    with pytest.raises(KeyboardInterrupt):
        interrupted(saved)
    assert difference(load(saved), make_model()) == set()
    assert names(saved.parent) == ["model"]


@pytest.mark.parametrize("swap", [exchange, exchange_by_renaming])
def test_two_directories_change_names(tmp_path, swap):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / f"was {name}").touch()
    swap(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path) == ["a", "b"]
    assert names(tmp_path / "a") + names(tmp_path / "b") == ["was b", "was a"]


def test_a_swap_that_fails_half_way_is_undone(tmp_path, saved, make_model, difference):
    with pytest.raises(FileNotFoundError):
        exchange_by_renaming(tmp_path / "nothing", saved)
    assert difference(load(saved), make_model()) == set()
    assert names(tmp_path) == ["model"]


def test_a_directory_that_must_stay_is_known_by_its_mount(tmp_path):
    assert is_fixed(Path("/"))
    assert not is_fixed(tmp_path)
    assert not is_fixed(tmp_path / "new")


MOUNTED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {path!r}
from o2v_jax import atomic
from o2v_jax.checkpoint import Model, check_model_target, load, save
from o2v_jax.atomic import is_fixed
from o2v_jax.errors import CheckpointError
one, two, target = load({one!r}), load({two!r}), Path({target!r})
two = Model(two.config, two.params, metrics=two.metrics)  # without a vocabulary
before = os.stat(target)
assert is_fixed(target) and not is_fixed(target.parent)
(target / "lost+found").mkdir()
assert save(one, target) == target and load(target).metrics == one.metrics

def killed_after(count):
    # a child, killed after so many files were moved
    if not (child := os.fork()):
        move = Path.rename
        def rename(path, other):
            nonlocal count
            if count == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            count -= 1
            return move(path, other)
        Path.rename = rename
        save(two, target)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def refused_after(count):
    # one move fails, after so many
    move = Path.rename
    def rename(path, other):
        nonlocal count
        count -= 1
        if count == -1:
            raise OSError(28, "No space left on device")
        return move(path, other)
    Path.rename = rename
    try:
        save(two, target)
    except CheckpointError as error:
        return "No space left on device" in str(error)
    finally:
        Path.rename = move

MOVES = 9  # five files aside, four in their place
for count in range(MOVES):
    assert refused_after(count)
    assert load(target).tokenizers == one.tokenizers
    assert load(target).metrics == one.metrics and len(os.listdir(target)) == 6
for count in range(MOVES):
    assert killed_after(count) == -signal.SIGKILL
    try:
        assert load(target).metrics == one.metrics and not count
    except CheckpointError as error:
        assert "config.json is missing" in str(error) or "holds no config.json" in str(error)
    check_model_target(target)
    save(one, target)
    assert load(target).tokenizers == one.tokenizers
assert killed_after(MOVES) == 0
assert load(target).tokenizers is None and load(target).metrics == two.metrics
assert os.path.samestat(os.stat(target), before) and os.listdir(target.parent) == [target.name]
"""


def in_mounts(mount, code):
    """Runs Python code where something is mounted that nothing else sees."""
    script = f'{mount} || exit 77; exec "$0" -c "$1"'
    command = ["unshare", "-m", "sh", "-c", script, sys.executable, code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if done.returncode in {1, 77} and "Traceback" not in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


@pytest.mark.process
def test_a_mount_point_is_filled_file_by_file(tmp_path, saved, make_model):
    """Of the same disk, too, and with a name that the kernel writes in another way."""
    target = tmp_path / "a parent" / "model"
    (tmp_path / "disk").mkdir()
    target.mkdir(parents=True)
    two = str(save(make_model(1), saved.with_name("other")))
    code = MOUNTED.format(path=sys.path, one=str(saved), two=two, target=str(target))
    in_mounts(f"mount --bind '{tmp_path}/disk' '{target}'", code)
    assert names(tmp_path / "disk") == [
        *("config.json", "lost+found", "metrics.json", "params.safetensors", "provenance.json")
    ]


@pytest.mark.process
def test_a_directory_of_an_images_layer_is_filled_file_by_file(tmp_path, saved, make_model):
    """Which the layered file systems of containers rename for nobody."""
    for name in ("lower/model", "upper", "work", "merged"):
        (tmp_path / "l" / name).mkdir(parents=True)
    save(make_model(1), tmp_path / "l" / "lower" / "model")
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
from o2v_jax.checkpoint import load, save
save(load({str(saved)!r}), "merged/model")
assert load("merged/model").provenance == {{"seed": 0, "data": {{"train.jsonl": "c0ffee"}}}}
"""
    layers = "lowerdir=lower,upperdir=upper,workdir=work"
    in_mounts(f"cd '{tmp_path}/l' && mount -t overlay -o {layers} o merged", code)


def test_a_directory_that_must_stay_is_filled_again(tmp_path, make_model, difference):
    target = tmp_path / "parent" / "model"
    target.mkdir(parents=True)
    target.parent.chmod(0o555)
    if os.access(target.parent, os.W_OK):
        pytest.skip("root may write anywhere")
    assert difference(load(save(make_model(), target)), make_model()) == set()
    assert difference(load(save(make_model(1), target)), make_model(1)) == set()
    target.parent.chmod(0o755)
