"""What is on disk between two runs: whole states are gone on from, others never read."""

import fcntl
import json
import os
import resource
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from o2v_jax.errors import InputError
from o2v_jax.training.job import Job
from o2v_jax.training.loop.state import Checkpoints
from o2v_jax.training.loop.state_files import LISTING, lock

pytestmark = pytest.mark.slow

RUN = {"seed": "4"}


def arrays_of(number):
    return {"a": jnp.arange(3000.0) * number, "b": [jnp.full((2, 3), number)]}


def opened(folder, **options):
    return Checkpoints(folder / "state", RUN, 1000, **options)


def saved_numbers(folder):
    return sorted(path.name for path in (folder / "state").iterdir() if path.name[-1].isdigit())


@pytest.fixture(scope="module")
def two_states(tmp_path_factory):
    """A folder in which a run has saved twice, as in a container."""
    folder = tmp_path_factory.mktemp("states")
    checkpoints = opened(folder, synced=True)
    for number in (1, 2):
        assert checkpoints.save(arrays_of(number), {"number": number})
    checkpoints.close()
    return folder


@pytest.fixture
def states(two_states, tmp_path):
    return shutil.copytree(two_states, tmp_path / "copy")


def assert_is(saved, number):
    assert saved.notes == {"number": number}
    np.testing.assert_array_equal(saved.arrays["a"], arrays_of(number)["a"])


def largest(state):
    return max((state / "arrays").rglob("*"), key=lambda path: path.is_file() and size_of(path))


def size_of(path):
    return path.stat().st_size


def cut(state):
    os.truncate(largest(state), size_of(largest(state)) // 2)


def flip(state):
    """As some programs leave a file that they have room for, but not all of."""
    data = bytearray(largest(state).read_bytes())
    data[len(data) // 2] ^= 1
    largest(state).write_bytes(data)


def grow(state):
    with largest(state).open("ab") as stream:
        stream.write(b"\0")


def only_some(state):
    for path in [path for path in state.rglob("*") if path.is_file()][::2]:
        path.unlink()


def only_folders(state):
    for path in [path for path in state.rglob("*") if path.is_file()]:
        path.unlink()


def cut_listing(state):
    os.truncate(state / LISTING, 20)


def no_metadata(state):
    (state / "_CHECKPOINT_METADATA").unlink()
    (state / "arrays" / "_METADATA").unlink()


def an_early_part(state):
    """Of a state of an earlier version, which had no list."""
    as_earlier(state)
    shutil.rmtree(state / "arrays" / "ocdbt.process_0")


def as_earlier(state):
    (state / LISTING).unlink()
    notes = json.loads((state / "notes" / "metadata").read_text())
    del notes["listed"]
    (state / "notes" / "metadata").write_text(json.dumps(notes))


def no_listing(state):
    """As a kill leaves it between the state and its list, or a program that copied all but that."""
    (state / LISTING).unlink()


DAMAGES = [cut, flip, grow, only_some, cut_listing, no_listing, no_metadata, an_early_part]


@pytest.mark.parametrize(
    ("damage", "synced"), [*((damage, True) for damage in [*DAMAGES, only_folders]), (cut, False)]
)
def test_a_run_goes_on_from_the_newest_whole_state(states, damage, synced, caplog, capfd):
    damage(states / "state" / "state_2")
    checkpoints = opened(states, synced=synced)
    assert_is(checkpoints.restore_latest(arrays_of(0)), 1)
    warnings = [record.getMessage() for record in caplog.records]
    if damage is only_folders:  # a state that the program has removed
        assert warnings == []
    else:
        (warning,) = warnings
        assert "holds a damaged state (state_2: " in warning
        assert warning.endswith("): resuming from state_1")
        assert "\n" not in warning
    assert checkpoints.save(arrays_of(3), {"number": 3})
    assert saved_numbers(states) == (["state_1", "state_3"] if synced else ["state_3"])
    assert_is(opened(states, synced=synced).restore_latest(arrays_of(0)), 3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("damage", [cut, no_listing, an_early_part])
def test_without_a_whole_state_a_container_starts_over(states, damage, caplog):
    shutil.rmtree(states / "state" / "state_1")
    damage(states / "state" / "state_2")
    with pytest.raises(InputError, match="damaged state: start over with --no-resume") as refused:
        opened(states).restore_latest(arrays_of(0))
    assert "\n" not in str(refused.value)
    assert opened(states, synced=True).restore_latest(arrays_of(0)) is None
    (warning,) = caplog.records
    assert warning.getMessage().endswith("none is whole: starting over")


def test_what_a_synchronizing_program_leaves_is_passed_over(states, caplog):
    state = states / "state"
    for path in ("state_2.sagemaker-uploading", "manifest", ".lock", "state_2/arrays/d/x.part"):
        (state / path).write_text("")
    (state / "state_7").write_text("")
    (state / "state_8" / "arrays").mkdir(parents=True)
    with pytest.raises(InputError, match=r"\(manifest, state_2\.sagemaker-uploading\)"):
        opened(states)
    checkpoints = opened(states, synced=True)
    assert_is(checkpoints.restore_latest(arrays_of(0)), 2)
    assert checkpoints.save(arrays_of(9), {"number": 9})
    assert_is(opened(states, synced=True).restore_latest(arrays_of(0)), 9)
    checkpoints.discard()
    left = sorted(path.name for path in state.iterdir())
    assert left == [".lock", "manifest", "state_2.sagemaker-uploading"]
    assert not caplog.records


def test_a_state_of_an_earlier_version_is_read(states):
    as_earlier(states / "state" / "state_2")
    assert_is(opened(states).restore_latest(arrays_of(0)), 2)


def test_folders_that_are_no_states_are_never_removed(tmp_path):
    (tmp_path / "state" / "state_of_the_art").mkdir(parents=True)
    with pytest.raises(InputError, match=r"other things than training state \(state_of_the_art\)"):
        opened(tmp_path)
    opened(tmp_path, synced=True).discard()
    assert (tmp_path / "state" / "state_of_the_art").exists()


def test_a_directory_that_somebody_removes_is_made_again(states, caplog):
    checkpoints = opened(states)
    shutil.rmtree(states / "state")
    assert checkpoints.save(arrays_of(1), {"number": 1})
    assert_is(opened(states).restore_latest(arrays_of(0)), 1)
    shutil.rmtree(states / "state")
    checkpoints.discard()
    checkpoints.close()
    assert not caplog.records


def test_another_run_is_named_with_advice_that_fits(states):
    other = {"seed": "5", "train data": "abc"}
    for synced, advice in ((True, "another S3Uri in CheckpointConfig"), (False, "--checkpoints")):
        checkpoints = Checkpoints(states / "state", other, synced=synced)
        with pytest.raises(InputError, match=r"another run \(seed was 4, now 5; train ") as refused:
            checkpoints.restore_latest(arrays_of(0))
        assert advice in str(refused.value)
    assert saved_numbers(states) == ["state_1", "state_2"]


@pytest.fixture
def small_files():
    """A disk on which no file may become larger than some kilobytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_state_that_cannot_be_written_leaves_the_one_before(states, small_files, caplog, capfd):
    checkpoints = opened(states, synced=True)
    noise = np.random.default_rng(0).random(100_000)
    assert_is(checkpoints.restore_latest(arrays_of(0)), 2)
    before = sorted(path.name for path in (states / "state").iterdir())
    small_files(50_000)
    assert not checkpoints.save(arrays_of(3) | {"noise": noise}, {"number": 3})
    small_files(resource.RLIM_INFINITY)
    (warning,) = caplog.records
    assert "the state cannot be saved (" in warning.getMessage()
    assert "\n" not in warning.getMessage()
    # threads of Orbax may write on after its error: what they leave goes when the state is opened
    assert_is(opened(states, synced=True).restore_latest(arrays_of(0)), 2)
    assert sorted(path.name for path in (states / "state").iterdir()) == before
    assert capfd.readouterr() == ("", "")


def test_two_runs_do_not_share_a_directory(tmp_path, config_of):
    (tmp_path / "train.jsonl").write_text('{"label": 1, "in0": [1], "in1": [2]}\n')
    state = tmp_path / "model.checkpoints"
    job = Job(config=config_of(), train=(tmp_path / "train.jsonl",), output=tmp_path / "model")
    with (
        lock(state),
        pytest.raises(InputError, match=f"{state}: another o2v train is running there"),
    ):
        job.run()
    assert not (tmp_path / "model").exists()
    with lock(state):
        pass


def test_a_file_system_without_locks_is_used_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock(tmp_path / "state"):
        assert (tmp_path / "state").is_dir()
