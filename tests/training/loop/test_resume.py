"""A run that is interrupted anywhere ends with the parameters of one that is not."""

import io
import json
import shutil
import signal

import jax
import numpy as np
import pytest

import o2v_jax
from o2v_jax.data.ragged import Ragged
from o2v_jax.errors import InputError, Interrupted
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.signals import Signals
from o2v_jax.training.data.dataset import Dataset
from o2v_jax.training.job import Job
from o2v_jax.training.loop.run import Run
from o2v_jax.training.loop.state import Checkpoints
from o2v_jax.training.report.metric_lines import Reporter

pytestmark = pytest.mark.slow

BATCHES = 5  # an epoch
SETTINGS = {
    "adam, dropout, buckets": {"dropout": 0.3, "bucket_width": 2},
    "row_sparse, negatives": {
        "token_embedding_storage_type": "row_sparse",
        "negative_sampling_rate": 1,
        "mini_batch_size": 16,
    },
    "adadelta, decay": {"optimizer": "adadelta", "weight_decay": 0.01},
}


def config_of(**settings) -> Hyperparameters:
    defaults = {
        "enc0_max_seq_len": 6,
        "enc0_vocab_size": 30,
        "enc0_network": "pooled_embedding",
        "enc_dim": 8,
        "mlp_dim": 8,
        "mini_batch_size": 8,
        "epochs": 3,
        "early_stopping_patience": 5,
        "learning_rate": 0.02,
    }
    return Hyperparameters(**{**defaults, **settings})


def data_of(seed: int, records: int, *, positives: bool = False) -> Dataset:
    rng = np.random.default_rng(seed)
    in0, in1 = (
        Ragged.of([rng.integers(1, 30, rng.integers(1, 7)).tolist() for _ in range(records)])
        for _ in range(2)
    )
    labels = np.ones(records) if positives else rng.integers(0, 2, records)
    return Dataset(in0, in1, labels.astype(np.float32))


class AfterBatches(Signals):
    """Signals of which one arrives after so many batches, counted over training and validation."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.left = batches

    def check(self) -> None:
        if self.left == 0:
            raise Interrupted(signal.SIGTERM)
        self.left -= 1


def run_of(config, checkpoints=None, signals=None) -> Run:
    positives = config.negative_sampling_rate > 0
    return Run(
        *(config, data_of(0, 37, positives=positives), data_of(1, 20), data_of(2, 20)),
        seed=4,
        reporter=Reporter(stream=io.StringIO()),
        checkpoints=checkpoints,
        signals=signals or Signals(),
    )


def checkpoints_of(folder, **run) -> Checkpoints:
    return Checkpoints(folder / "state", {"seed": "4", **run}, interval=1000)


def assert_equal(one, two) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, two)


@pytest.mark.parametrize("name", SETTINGS)
def test_interrupted_runs_end_like_uninterrupted_ones(name, tmp_path):
    config = config_of(**SETTINGS[name])
    whole = run_of(config)
    expected = whole.fit()
    for batches in [0, 1, 2, 3, 2, 1, 7, 3]:
        run = run_of(config, checkpoints_of(tmp_path), AfterBatches(batches))
        with pytest.raises(Interrupted, match="the same command resumes from") as stopped:
            run.fit()
        run.checkpoints.close()
        assert stopped.value.status == 143
    run = run_of(config, checkpoints_of(tmp_path))
    run.fit()
    assert_equal(run.params, expected)
    assert run.metrics == whole.metrics
    assert run.history == whole.history


def test_saving_at_intervals_changes_nothing_and_keeps_one_state(tmp_path):
    expected = run_of(config_of()).fit()
    checkpoints = checkpoints_of(tmp_path)
    checkpoints.is_due = lambda: True
    assert_equal(run_of(config_of(), checkpoints).fit(), expected)
    assert len([path for path in (tmp_path / "state").iterdir() if path.name[-1].isdigit()]) == 1
    again = run_of(config_of(), checkpoints_of(tmp_path))
    assert_equal(again.fit(), expected)
    assert "Continuing epoch 3" in again.reporter.stream.getvalue()


class SignalledOnce(Checkpoints):
    """A signal arrives in the middle of the first saving."""

    signalled = False

    def is_due(self) -> bool:
        return not self.signalled

    def _write(self, *arguments) -> None:
        if not self.signalled:
            self.signalled = True
            signal.raise_signal(signal.SIGTERM)
        super()._write(*arguments)


def test_a_signal_during_a_saving_waits_until_it_is_done(tmp_path):
    checkpoints = SignalledOnce(tmp_path / "state", {"seed": "4"})
    signals = Signals()
    with signals.caught(), pytest.raises(Interrupted, match="the same command resumes"):
        run_of(config_of(), checkpoints, signals).fit()
    again = run_of(config_of(), checkpoints_of(tmp_path), AfterBatches(0))
    with pytest.raises(Interrupted):
        again.fit()
    assert "Continuing epoch 0 after 1 batches" in again.reporter.stream.getvalue()


def test_the_state_of_another_run_is_refused_and_kept(tmp_path):
    with pytest.raises(Interrupted):
        run_of(config_of(), checkpoints_of(tmp_path), AfterBatches(3)).fit()
    other = checkpoints_of(tmp_path, learning_rate="0.5")
    with pytest.raises(InputError, match=r"another run \(learning_rate was None, now 0.5\)"):
        run_of(config_of(), other).fit()
    before = {path.name for path in (tmp_path / "state").iterdir()}
    assert before, "the state is still there"
    other.discard()
    other.close()
    assert not (tmp_path / "state").exists()


def test_what_is_saved_is_known(tmp_path):
    checkpoints = checkpoints_of(tmp_path)
    with pytest.raises(Interrupted):
        run_of(config_of(), checkpoints, AfterBatches(BATCHES + 4)).fit()
    notes = json.loads(next((tmp_path / "state").rglob("notes/metadata")).read_text())["notes"]
    assert notes["progress"]["epoch"] == 1
    assert notes["progress"]["batch"] == 1
    assert list(notes["progress"]["history"][0]) == ["train", "validation"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_wait_where_they_are_deferred(number):
    signals = Signals()
    with signals.caught():
        with signals.deferred():
            signal.raise_signal(number)
        with pytest.raises(Interrupted, match=number.name):
            signals.check()


def test_signals_raise_at_once_elsewhere_and_are_left_as_they_were():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted), Signals().caught():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("part", ["notes", "arrays", "notes/metadata"])
def test_a_damaged_state_is_named_and_can_be_left_behind(part, tmp_path):
    checkpoints = checkpoints_of(tmp_path)
    with pytest.raises(Interrupted):
        run_of(config_of(), checkpoints, AfterBatches(3)).fit()
    checkpoints.close()
    damaged = next((tmp_path / "state").glob("state_*")) / part
    shutil.rmtree(damaged) if damaged.is_dir() else damaged.unlink()
    again = checkpoints_of(tmp_path)
    with pytest.raises(InputError, match="damaged state: start over with --no-resume"):
        run_of(config_of(), again).fit()
    again.discard()
    assert again.restore_latest({}) is None


def test_nothing_but_training_state_is_ever_removed(tmp_path):
    thesis = tmp_path / "state" / "5" / "thesis.txt"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("precious")
    with pytest.raises(InputError, match=r"other things than training state \(5\)"):
        checkpoints_of(tmp_path)
    assert thesis.exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        Checkpoints(tmp_path / "file", {})


def test_a_full_disk_costs_a_warning(tmp_path, caplog, monkeypatch):
    checkpoints = checkpoints_of(tmp_path)
    monkeypatch.setattr(checkpoints._manager, "save", _disk_full)
    assert not run_of(config_of(), checkpoints)._progress.history
    assert not checkpoints.save({}, {})
    assert "the state cannot be saved (" in caplog.text


def _disk_full(*_, **__):
    raise OSError(28, "No space left on device")


def test_a_signal_after_the_last_epoch_waits_for_the_model(files_of_job, tmp_path, monkeypatch):
    """The handlers are the real ones; the signal comes while the model is being written."""
    from o2v_jax.training import job  # noqa: PLC0415

    def save(model, output):
        signal.raise_signal(signal.SIGTERM)
        return o2v_jax.save(model, output)

    monkeypatch.setattr(job, "save", save)
    job.Job(config=config_of(epochs=1), train=(files_of_job,), output=tmp_path / "model").run()
    assert o2v_jax.load(tmp_path / "model").metrics["best_epoch"] == 0
    assert not (tmp_path / "model.checkpoints").exists()


@pytest.mark.parametrize("name", ["report", "checkpoints", "cache"])
def test_nothing_else_may_lie_in_the_models_directory(name, files_of_job, tmp_path):
    output = tmp_path / "model"
    job = Job(config=config_of(), train=(files_of_job,), output=output, **{name: output / "x"})
    with pytest.raises(InputError, match=f"{name} .* lies in"):
        job.run()
    assert not output.exists()


@pytest.fixture
def files_of_job(tmp_path):
    file = tmp_path / "train.jsonl"
    file.write_text('{"label": 1, "in0": [1], "in1": [2]}\n{"label": 0, "in0": [3], "in1": [4]}\n')
    return file
