"""Training on 2 and 4 devices beside training on one."""

import io
import re

import jax
import numpy as np
import pytest

from o2v_jax.data.ragged import Ragged
from o2v_jax.errors import InputError, Interrupted
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.signals import Signals
from o2v_jax.training.data.batches import Batch
from o2v_jax.training.data.dataset import Dataset
from o2v_jax.training.data.pretrained import Pretrained
from o2v_jax.training.loop.run import Run
from o2v_jax.training.loop.state import Checkpoints
from o2v_jax.training.optim.placement import Placement, choose_placement
from o2v_jax.training.optim.step import (
    init_state,
    make_train_step,
    prepare_batch,
    update_state,
)
from o2v_jax.training.report.metric_lines import Reporter

pytestmark = pytest.mark.slow

VOCABULARY = 41  # which no number of devices divides
STEPS, BATCHES = 50, 2
SPARSE = {"token_embedding_storage_type": "row_sparse"}
SETTINGS = {
    "adam": {},
    "sgd, decay, bilstm, regression": {
        "optimizer": "sgd",
        "weight_decay": 0.001,
        "learning_rate": 0.2,
        "enc0_network": "bilstm",
        "output_layer": "mean_squared_error",
    },
    "adadelta, tied": {"optimizer": "adadelta", "tied_token_embedding_weight": True},
    "rmsprop, hcnn in tiles and without": {
        "optimizer": "rmsprop",
        "enc0_network": "hcnn",
        "enc0_layers": 2,
        "enc0_token_embedding_dim": 128,
        "enc0_cnn_filter_width": 3,
        "enc1_network": "hcnn",
        "enc1_layers": 1,
        "enc1_token_embedding_dim": 8,
        "enc1_max_seq_len": 6,
        "enc1_vocab_size": VOCABULARY,
        "enc_dim": 256,
        "learning_rate": 0.001,
    },
    "row_sparse, adam": SPARSE,
    "row_sparse, adagrad, tied": {
        **SPARSE,
        "optimizer": "adagrad",
        "tied_token_embedding_weight": True,
    },
}


def config_of(**settings) -> Hyperparameters:
    defaults = {
        "enc0_max_seq_len": 6,
        "enc0_vocab_size": VOCABULARY,
        "enc0_network": "pooled_embedding",
        "enc_dim": 8,
        "mlp_dim": 8,
        "learning_rate": 0.02,
        "dropout": 0.3,
        "mini_batch_size": 10,
        "epochs": 4,
        "early_stopping_patience": 1,
        "early_stopping_tolerance": 0.01,
    }
    return Hyperparameters(**{**defaults, **settings})


def batch_of(seed: int) -> Batch:
    """Ten rows, which no 4 devices share evenly, one of them of weight 0."""
    rng = np.random.default_rng(seed)
    in0, in1 = rng.integers(0, VOCABULARY, (2, 10, 6)).astype(np.int32)
    labels = rng.integers(0, 2, 10).astype(np.float32)
    return Batch(in0, in1, labels, np.float32([1] * 9 + [0]))


def losses_of(state, step) -> tuple[np.ndarray, dict]:
    losses = []
    for number in range(STEPS):
        state, sums = step(state, batch_of(number % BATCHES))
        losses.append(sums.mean_loss())
    return np.array(losses), state.params


BOTH = {"adam", "row_sparse, adam"}  # also on two devices, with whole tables


@pytest.mark.parametrize("name", SETTINGS)
def test_the_number_of_devices_changes_nothing(name):
    config = config_of(**SETTINGS[name])
    expected, params = losses_of(init_state(config, 0), make_train_step(config))
    assert expected[-1] < 0.9 * expected[0]
    for devices, shard in ((2, False), (4, True))[name not in BOTH :]:
        placement = Placement.over(jax.devices()[:devices], shard_tables=shard)
        step = make_train_step(config, placement=placement)
        losses, sharded = losses_of(init_state(config, 0, placement=placement), step)
        np.testing.assert_allclose(losses, expected, atol=1e-4)
        _assert_close(placement.fetch(config, sharded), params, 1e-3)


def _assert_close(one, two, atol) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=0), one, two)


def test_a_sharded_table_and_its_moments_lie_on_all_devices():
    config = config_of(tied_token_embedding_weight=True)
    placement = Placement.over(jax.devices(), shard_tables=True)
    state = init_state(config, 0, placement=placement)
    large = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (44, 8)]
    assert len(large) == 3, "the weights and adam's two moments, 41 rows filled up to 44"
    for table in large:
        assert {shard.data.shape for shard in table.addressable_shards} == {(11, 8)}


def test_frozen_rows_stay_and_others_move():
    ids, vectors = np.int32([2, 5, 40]), np.ones((3, 8), np.float32)
    pretrained = [Pretrained("embed_shared", ids, vectors, frozen=True, name="v", wanted=40)]
    for settings in ({}, SPARSE):
        config = config_of(tied_token_embedding_weight=True, weight_decay=0.01, **settings)
        placement = Placement.over(jax.devices(), shard_tables=True)
        first = init_state(config, 0, pretrained, placement)
        before = placement.fetch(config, first.params)["embed_shared"]["weight"]
        step = make_train_step(config, pretrained, placement)
        after = placement.fetch(config, losses_of(first, step)[1])["embed_shared"]["weight"]
        np.testing.assert_array_equal(after[ids], vectors)
        assert (np.delete(after, [0, *ids], 0) != np.delete(before, [0, *ids], 0)).any(axis=1).all()


@pytest.mark.parametrize(
    "settings", [{}, SPARSE, {"enc0_network": "hcnn", "enc0_token_embedding_dim": 8}], ids=str
)
def test_no_device_gathers_a_sharded_table(settings):
    """Neither the whole one, of 4 times 253 rows, nor a share; and the gradient is summed once."""
    config = config_of(enc0_vocab_size=1009, tied_token_embedding_weight=True, **settings)
    placement = Placement.over(jax.devices(), shard_tables=True)
    state = init_state(config, 0, placement=placement)
    batch, rows = prepare_batch(config, placement, batch_of(0), remap=True)
    program = update_state.lower(config, placement, state, batch, rows, {}).compile().as_text()
    calls = r"^.* = (.*) (?:all|collective|reduce-scatter)[\w-]*\("
    collectives = re.findall(calls, program, re.MULTILINE)
    assert any("f32[40,8]" in shapes for shapes in collectives), "the rows of the batch travel"
    assert not any(size in shapes for shapes in collectives for size in ("1012", "253"))
    bodies = [part for part in program.split("\n\n") if "_body" in part.partition("(")[0]]
    assert not any("all-reduce" in body for body in bodies), "not at every position"


def data_of(seed: int, records: int, *, positives: bool) -> Dataset:
    rng = np.random.default_rng(seed)
    in0, in1 = (
        Ragged.of(rng.integers(1, VOCABULARY, (records, 4)).astype(np.int32)) for _ in range(2)
    )
    labels = np.ones(records) if positives else rng.integers(0, 2, records)
    return Dataset(in0, in1, labels.astype(np.float32))


class AfterBatches(Signals):
    """Signals of which one arrives after so many batches."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.left = batches

    def check(self) -> None:
        if self.left == 0:
            raise Interrupted(15)
        self.left -= 1


def run_of(config, devices=1, *, shard=False, folder=None, batches=-1) -> Run:
    positives = config.negative_sampling_rate > 0
    return Run(
        *(config, data_of(0, 35, positives=positives), data_of(1, 20, positives=False)),
        data_of(2, 20, positives=False),
        reporter=Reporter(stream=io.StringIO()),
        checkpoints=Checkpoints(folder, {"run": "1"}, interval=1000) if folder else None,
        signals=AfterBatches(batches),
        placement=choose_placement(devices=devices, shard_tables=shard),
    )


@pytest.mark.parametrize(
    ("settings", "stops", "last"),
    [
        ({}, ((1, 1), (4, 3), (2, 3)), 4),
        ({**SPARSE, "negative_sampling_rate": 1}, ((1, 1), (4, 3)), 2),
    ],
)
def test_runs_end_alike_and_go_on_with_other_devices(settings, stops, last, tmp_path):
    """With early stopping, negatives, validation and test; `stops`: devices, batches they do."""
    config = config_of(mini_batch_size=24, **settings)
    whole = run_of(config)
    whole.fit()
    for devices, batches in stops:
        run = run_of(config, devices, shard=devices == 4, folder=tmp_path, batches=batches)
        with pytest.raises(Interrupted):
            run.fit()
        run.checkpoints.close()
    run = run_of(config, last, folder=tmp_path)
    run.fit()
    assert "Continuing epoch" in run.reporter.stream.getvalue()
    assert len(run.history) == len(whole.history)
    _assert_close(run.params, whole.params, 1e-4)
    _assert_close(run.metrics, whole.metrics, 1e-4)


def test_early_stopping_stops_alike():
    config = config_of(epochs=20, learning_rate=0.05)
    one, four = run_of(config), run_of(config, 4)
    one.fit(), four.fit()
    assert len(one.history) == len(four.history) < 20
    assert one.best_epoch == four.best_epoch


def test_the_second_step_compiles_nothing(compilations):
    config = config_of()
    placement = Placement.over(jax.devices()[:2])
    state, step = init_state(config, 0, (), placement), make_train_step(config, (), placement)
    state, _ = step(state, batch_of(0))
    compilations.clear()
    step(state, batch_of(1))
    assert not compilations


@pytest.mark.parametrize(
    ("devices", "shard", "message"),
    [(5, False, "devices=5: must be in 1..4"), (1, True, "sharded tables need two devices")],
)
def test_what_cannot_be_is_refused(devices, shard, message):
    with pytest.raises(InputError, match=message):
        choose_placement(devices=devices, shard_tables=shard)
