"""The in-batch loss against a statement of it in NumPy, on one device and on several."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from o2v_jax import Hyperparameters, InBatchObjective
from o2v_jax.data.negatives import Negatives
from o2v_jax.data.ragged import Ragged
from o2v_jax.model import encode_fn
from o2v_jax.training.data.batches import DataLoader
from o2v_jax.training.data.dataset import Dataset
from o2v_jax.training.data.frequencies import measure_log_frequencies
from o2v_jax.training.optim.encoding_step import make_encoding_step
from o2v_jax.training.optim.in_batch import measure_in_batch
from o2v_jax.training.optim.placement import Placement
from o2v_jax.training.optim.step import init_state, make_train_step

pytestmark = pytest.mark.slow

# pairs 0 and 2 have one in0, pairs 1 and 4 one in1, pair 5 is pair 3 again; by pair 2, the in1 of
# pair 6 belongs to the in0 of pair 0, which it is unlike on both sides
IN0 = [[1, 2], [3], [1, 2], [4, 5], [6], [4, 5], [6]]
IN1 = [[1], [2, 3], [4], [5], [2, 3], [5], [4]]
DATA = Dataset(Ragged.of(IN0), Ragged.of(IN1), np.ones(7, np.float32), (2, 2))
# [4] is an in1 of pair 0 by pair 2, [2, 3] of pair 6 by pair 4; [7] is there three times; neither
# [7] nor [8, 2] is an in1
NEGATIVES = [[[4], [7]], [], [[7], [7]], [[1]], [[8, 2], [5]], [], [[2, 3]]]
HARD = replace(DATA, negatives=Negatives.of(NEGATIVES))


def config_of(objective, **settings):
    defaults = {
        "enc0_max_seq_len": 2,
        "enc0_vocab_size": 9,
        "enc0_network": "pooled_embedding",
        "enc1_network": "enc0",
        "tied_token_embedding_weight": True,
        "enc_dim": 8,
        "mini_batch_size": 8,
        "learning_rate": 0.05,
        "objective": objective,
    }
    return Hyperparameters(**{**defaults, **settings})


def batch_of(config, data=DATA):
    """All records in order, and a row that fills the batch."""
    (batch,) = DataLoader.of(config, data).iterate_in_order(data)
    return batch


def expected_losses(objective, enc0, enc1, in0, in1):
    """Each pair's loss and whether its in1 comes first: a loop over pairs, in float64.

    `in1` holds the in1 of all pairs, and behind them hard negatives.
    """
    enc0, enc1 = np.float64(enc0), np.float64(enc1)
    if objective.similarity == "cosine":
        enc0, enc1 = (enc / np.linalg.norm(enc, axis=1, keepdims=True) for enc in (enc0, enc1))
    share = objective.correct_popularity
    losses, correct = [], []
    for i in range(len(in0)):
        pairs = [*zip(in0, in1, strict=False)]  # hard negatives are behind the in1 of pairs
        of_direction = []
        for own, others, rows in ((enc0[i], enc1, in1), (enc1[i], enc0, in0)):
            there = [(in0[i], row) if rows is in1 else (row, in1[i]) for row in rows]
            rivals = [j for j in range(len(rows)) if j == i or there[j] not in pairs]
            logits = np.array([own @ others[j] / objective.temperature for j in rivals])
            if share:
                logits -= [np.log(rows.count(rows[j]) / len(rows)) for j in rivals]
            of_direction.append(np.log(np.exp(logits).sum()) - logits[rivals.index(i)])
            if others is enc1:
                correct.append(rivals[int(logits.argmax())] == i)
        losses.append(np.mean(of_direction))
    return np.array(losses), np.array(correct)


@pytest.mark.parametrize("objective", [
    InBatchObjective(temperature=0.5),
    InBatchObjective(temperature=0.5, correct_popularity=True),
    InBatchObjective(similarity="inner_product", temperature=1),
])  # fmt: skip
def test_losses_are_those_of_the_definition(objective):
    config = config_of(objective)
    batch = batch_of(config)
    enc0, enc1 = np.random.default_rng(0).normal(size=(2, 8, 8)).astype(np.float32)
    loss, correct = jax.jit(measure_in_batch, static_argnums=0)(objective, enc0, enc1, batch)
    order = np.argsort([max(len(a), len(b)) for a, b in zip(IN0, IN1, strict=True)], kind="stable")
    in0, in1 = ([rows[k] for k in order] for rows in (IN0, IN1))
    expected = expected_losses(objective, enc0[:7], enc1[:7], in0, in1)
    np.testing.assert_allclose(np.asarray(loss)[:7], expected[0], rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(correct)[:7], expected[1])


@pytest.mark.parametrize("correct_popularity", [False, True])
def test_hard_negatives_compete_for_every_in0_that_they_are_not_paired_with(correct_popularity):
    objective = InBatchObjective(temperature=0.5, correct_popularity=correct_popularity)
    batch = batch_of(config_of(objective), HARD)
    rng = np.random.default_rng(0)
    enc0, enc1 = (rng.normal(size=(rows, 8)).astype(np.float32) for rows in (8, 16))
    assert (batch.in0.shape, batch.in1.shape) == ((8, 2), (16, 2))
    measure = jax.jit(measure_in_batch, static_argnums=0)
    loss, correct = measure(objective, enc0, enc1, batch)
    order = np.argsort([max(len(a), len(b)) for a, b in zip(IN0, IN1, strict=True)], kind="stable")
    in0, in1, of_pairs = ([rows[k] for k in order] for rows in (IN0, IN1, NEGATIVES))
    negatives = [[n for n in row.tolist() if n] for row in batch.in1[8:]]
    assert sorted(negatives) == sorted(row for rows in of_pairs for row in rows)
    candidates = np.concatenate([enc1[:7], enc1[8:]])
    expected = expected_losses(objective, enc0[:7], candidates, in0, [*in1, *negatives])
    np.testing.assert_allclose(np.asarray(loss)[:7], expected[0], rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(correct)[:7], expected[1])
    enc0[7], enc1[7] = 100 * enc0[0], 100 * enc1[1]
    np.testing.assert_array_equal(measure(objective, enc0, enc1, batch)[0][:7], loss[:7])


def test_rows_that_fill_a_batch_change_nothing():
    objective = InBatchObjective()
    batch = batch_of(config_of(objective))
    enc0, enc1 = np.random.default_rng(1).normal(size=(2, 8, 8)).astype(np.float32)
    loss, _ = measure_in_batch(objective, jnp.array(enc0), jnp.array(enc1), batch)
    enc0[7], enc1[7] = 100 * enc0[0], 100 * enc1[1]
    again, _ = measure_in_batch(objective, jnp.array(enc0), jnp.array(enc1), batch)
    np.testing.assert_array_equal(np.asarray(loss)[:7], np.asarray(again)[:7])
    assert batch.weights.tolist() == [1] * 7 + [0]


def test_frequencies_are_shares_of_the_records():
    np.testing.assert_allclose(
        np.exp(measure_log_frequencies(DATA).in1), np.array([1, 2, 2, 2, 2, 2, 2]) / 7, rtol=1e-6
    )


def test_frequencies_count_negatives_as_often_as_they_take_part():
    data = replace(HARD, kept=np.arange(1, 7), labels=np.ones(6, np.float32))
    found = measure_log_frequencies(data, 1)  # of two negatives each takes part half the time
    total = 6 + 1 + 1 + 1 + 1
    in1 = np.array([3, 2, 2.5, 3, 2.5, 2]) / total
    negatives = np.array([1, 1, 1, 0.5, 2.5, 3]) / total
    np.testing.assert_allclose(np.exp(found.in1), in1, rtol=1e-6)
    np.testing.assert_allclose(np.exp(found.negatives[2:]), negatives, rtol=1e-6)


@pytest.mark.parametrize(("storage", "shard_tables", "data"), [
    ("dense", False, DATA),
    ("dense", True, DATA),
    ("row_sparse", False, DATA),
    ("row_sparse", True, DATA),
    ("dense", False, HARD),
    ("row_sparse", True, HARD),
])  # fmt: skip
def test_the_number_of_devices_changes_nothing(storage, shard_tables, data):
    objective = InBatchObjective(correct_popularity=True)
    config = config_of(objective, token_embedding_storage_type=storage, mini_batch_size=6)
    loader = DataLoader.of(config, data)
    reached = []
    for devices in (1, 4):
        shard = shard_tables and devices > 1
        placement = Placement.over(jax.devices()[:devices], shard_tables=shard)
        state, losses = init_state(config, 0, placement=placement), []
        step = make_train_step(config, placement=placement)
        for epoch in range(3):
            for batch in loader.iterate_epoch(data, np.random.default_rng(epoch)):
                state, sums = step(state, batch)
                losses.append(float(sums.loss))
        params = placement.fetch(config, state.params)
        encode = make_encoding_step(config, placement)
        encodings = encode(placement.put(config, params), batch_of(config_of(objective)))
        reached.append((losses, params["embed_shared"]["weight"], *map(np.asarray, encodings)))
    for one, several in zip(*reached, strict=True):
        np.testing.assert_allclose(several[: len(one)], one, rtol=1e-4, atol=1e-5)
    assert reached[0][0][-1] < reached[0][0][0]


def test_encodings_are_those_of_encode_fn():
    config = config_of(InBatchObjective())
    params, batch = init_state(config, 0).params, batch_of(config)
    for side, found in enumerate(make_encoding_step(config)(params, batch)):
        expected = encode_fn(config, side)(params, batch[side])
        np.testing.assert_allclose(found, expected, rtol=1e-6)
