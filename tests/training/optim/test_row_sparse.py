"""row_sparse against a statement of it in NumPy, and against dense training."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import logits_fn
from o2v_jax.training.data.batches import Batch
from o2v_jax.training.optim.batch_vocabulary import remap_ids, remap_ids_in_step, round_up_rows
from o2v_jax.training.optim.optimizers import OPTIMIZERS
from o2v_jax.training.optim.placement import Placement
from o2v_jax.training.optim.row_sparse import (
    CHUNK,
    apply_row_updates,
    pack_table,
    put_back,
    take,
    update,
)
from o2v_jax.training.optim.step import (
    init_state,
    make_evaluation_step,
    make_train_step,
    remaps_on_host,
)

pytestmark = pytest.mark.slow

VOCABULARY = 40
TABLES = {False: ("embed_0", "embed_1"), True: ("embed_shared",)}


def config_of(**settings) -> Hyperparameters:
    defaults = {
        "enc0_max_seq_len": 6,
        "enc0_vocab_size": VOCABULARY,
        "enc0_network": "pooled_embedding",
        "enc_dim": 8,
        "mlp_dim": 8,
        "learning_rate": 0.05,
        "token_embedding_storage_type": "row_sparse",
    }
    return Hyperparameters(**{**defaults, **settings})


def batch_of(seed: int, low: int = 0, high: int = VOCABULARY, records: int = 4) -> Batch:
    rng = np.random.default_rng(seed)
    in0, in1 = rng.integers(low, high, (2, records, 6)).astype(np.int32)
    in1[:, 4:] = 0
    weights = np.arange(records) < records - 1  # the last row fills the batch
    labels = rng.integers(0, 2, records)
    return Batch(in0, in1, labels.astype(np.float32), weights.astype(np.float32))


def trained(config, batches, **settings):
    state, step = init_state(config, 0), make_train_step(config, **settings)
    for batch in batches:
        state, _ = step(state, batch)
    return jax.device_get(state)


def gradient_of(config, params, batch):
    """The dense gradient of the mean loss with respect to every parameter, of any optimizer."""
    return jax.device_get(_gradient(replace(config, optimizer="adam"), params, batch))


@partial(jax.jit, static_argnums=0)
@partial(jax.grad, argnums=1)
def _gradient(config, params, batch):
    logits = logits_fn(config)(params, batch.in0, batch.in1)
    picked = jax.nn.log_softmax(logits)[np.arange(4), batch.labels.astype(int)]
    return -(picked * batch.weights).sum() / batch.weights.sum()


def stated(rule, weight, gradient, memory, step):
    """One update of whole rows, as the papers and the documentation state it, in NumPy."""
    rate = 0.05
    if rule == "sgd":
        return weight - rate * gradient, memory
    if rule == "adagrad":
        total = memory["g2"] + gradient**2
        return weight - rate * gradient / np.sqrt(total + 1e-7), {"g2": total}
    m = 0.9 * memory["m"] + 0.1 * gradient
    v = 0.999 * memory["v"] + 0.001 * gradient**2
    moved = rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return weight - moved, {"m": m, "v": v}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("rule", ["adam", "adagrad", "sgd"])
def test_touched_rows_follow_the_rule_and_others_stay(rule, tied):
    config = config_of(optimizer=rule, tied_token_embedding_weight=tied)
    state, step = init_state(config, 0), make_train_step(config)
    memory = {
        name: {key: np.zeros((VOCABULARY, 8)) for key in ("m", "v", "g2")} for name in TABLES[tied]
    }
    for number in range(1, 6):
        batch, before = batch_of(number, 0, 12), jax.device_get(state.params)
        gradient = gradient_of(config, before, batch)
        state, _ = step(state, batch)
        for side, name in enumerate(TABLES[tied]):
            ids = [batch.in0, batch.in1] if tied else [batch[side]]
            rows = np.unique(np.concatenate([part.ravel() for part in ids]))
            expected, kept = before[name]["weight"].copy(), memory[name]
            part = {key: value[rows] for key, value in kept.items()}
            new, part = stated(rule, expected[rows], gradient[name]["weight"][rows], part, number)
            expected[rows] = new
            for key, value in part.items():
                kept[key][rows] = value
            np.testing.assert_allclose(state.params[name]["weight"], expected, atol=2e-5)
            untouched = np.setdiff1d(np.arange(VOCABULARY), rows)
            assert len(untouched) > 20
            np.testing.assert_array_equal(
                np.asarray(state.params[name]["weight"])[untouched],
                before[name]["weight"][untouched],
            )


@pytest.mark.parametrize(
    ("rule", "enc0"),
    [
        ("adagrad", {"enc0_network": "hcnn", "enc0_layers": 2, "enc0_token_embedding_dim": 8}),
        ("sgd", {"enc0_network": "pooled_embedding"}),
    ],
)
def test_it_equals_dense_training_where_the_rule_leaves_zero_gradients_alone(rule, enc0):
    settings = {"optimizer": rule, **enc0, "enc1_network": "bilstm", "enc1_layers": 1}
    settings |= {"enc1_token_embedding_dim": 8, "enc1_max_seq_len": 6, "enc1_vocab_size": 40}
    batches = [batch_of(seed) for seed in range(8)]
    sparse, dense = (
        trained(config_of(**settings, token_embedding_storage_type=storage), batches).params
        for storage in ("row_sparse", "dense")
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), sparse, dense)


@pytest.mark.parametrize("network", ["pooled_embedding", "hcnn"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_gradient_of_a_large_dense_table_is_that_of_a_small_one(network, tied):
    config = config_of(
        enc0_network=network,
        enc0_token_embedding_dim=8,
        tied_token_embedding_weight=tied,
        token_embedding_storage_type="dense",
    )
    batches, ends = [batch_of(seed) for seed in range(4)], []
    for size, remaps in ((VOCABULARY * 8, False), (VOCABULARY * 8 - 1, True)):
        assert remaps_on_host(config, Placement.default(), large=size) == remaps
        state = trained(config, batches, remap_on_host=remaps)
        ends.append((state.params, state.optimizer))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *ends)


@pytest.mark.parametrize("rule", ["adagrad", "sgd"])
def test_a_step_touches_more_rows_than_are_updated_at_a_time(rule):
    settings = {"optimizer": rule, "enc0_vocab_size": 1500}
    batches = [batch_of(seed, 1, 1500, records=128) for seed in range(4)]
    assert all(len(np.union1d(batch.in0, batch.in1)) > CHUNK for batch in batches)
    sparse, dense = (
        trained(config_of(**settings, token_embedding_storage_type=storage), batches).params
        for storage in ("row_sparse", "dense")
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), sparse, dense)


def test_lazy_adam_equals_dense_adam_until_a_row_is_left_out():
    # without products of small numbers, whose gradients of 1e-12 are rounding: adam's first steps
    # are as long for these as for any other
    config = {"optimizer": "adam", "comparator_list": ("concat",)}
    every = batch_of(0)._replace(
        in0=np.arange(1, 25, dtype=np.int32).reshape(4, 6),
        in1=np.arange(1, 25, dtype=np.int32).reshape(4, 6),
        weights=np.ones(4, np.float32),
    )
    sparse, dense = (
        trained(config_of(**config, token_embedding_storage_type=storage), [every] * 3)
        for storage in ("row_sparse", "dense")
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), sparse.params, dense.params
    )
    part = every._replace(in0=every.in0.clip(max=6), in1=every.in1.clip(max=6))
    sparse, dense = (
        trained(config_of(**config, token_embedding_storage_type=storage), [every] * 3 + [part])
        for storage in ("row_sparse", "dense")
    )
    moved = sparse.params["embed_0"]["weight"] != dense.params["embed_0"]["weight"]
    assert moved[7:25].any(axis=1).all(), "dense adam moves rows by their momentum alone"


def test_weight_decay_is_lazy_too():
    config, batch = config_of(optimizer="sgd", weight_decay=0.1), batch_of(1, 1, 10)
    before = jax.device_get(init_state(config, 0).params)["embed_0"]["weight"]
    gradient = gradient_of(config, jax.device_get(init_state(config, 0).params), batch)
    after = trained(config, [batch]).params["embed_0"]["weight"]
    expected = before[:10] - 0.05 * (gradient["embed_0"]["weight"][:10] + 0.1 * before[:10])
    np.testing.assert_allclose(after[:10], expected, atol=1e-6)
    np.testing.assert_array_equal(after[10:], before[10:])


def test_the_loss_of_a_step_is_that_of_the_whole_tables():
    config, batch = config_of(), batch_of(3)
    state = init_state(config, 0)
    expected = make_evaluation_step(config)(state.params, batch).mean_loss()
    assert make_train_step(config)(state, batch)[1].mean_loss() == pytest.approx(expected, rel=1e-5)


def test_batches_of_like_size_compile_once(compilations):
    config = config_of(enc0_vocab_size=5000)
    state, step = init_state(config, 0), make_train_step(config)
    batches = [batch_of(seed, 1, 5000) for seed in range(6)]
    state, _ = step(state, batches[0])
    compilations.clear()
    for batch in batches[1:]:
        state, _ = step(state, batch)
    assert compilations == []


@given(
    st.lists(st.integers(0, 39), max_size=30),
    st.lists(st.integers(0, 39), max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_remapping_is_undone_by_the_rows(first, second, tied, marked):
    config = config_of(tied_token_embedding_weight=tied)
    in0, in1 = (np.int32(ids).reshape(1, -1) for ids in (first, second))
    # ids are marked in a small vocabulary, else sorted
    rows, new0, new1 = remap_ids(config, in0, in1, marked=100 if marked else 0)
    for side, (ids, new) in enumerate(((in0, new0), (in1, new1))):
        table = rows[TABLES[tied][0 if tied else side]]
        np.testing.assert_array_equal(table[new], ids)
        np.testing.assert_array_equal(new == 0, ids == 0)
        assert (np.diff(table) > 0).all()
        assert set(table[table < VOCABULARY]) == {0, *(first + second if tied else ids.ravel())}


_remap_in_step = jax.jit(remap_ids_in_step, static_argnums=0)
# none, one, and as many as the vocabulary has or more: every size is compiled
OF_FEW_SIZES = st.sampled_from([0, 1, 45]).flatmap(
    lambda size: st.lists(st.integers(0, 39), min_size=size, max_size=size)
)


@given(OF_FEW_SIZES, OF_FEW_SIZES, st.booleans())
def test_an_accelerator_finds_the_same_rows(first, second, tied):
    config = config_of(tied_token_embedding_weight=tied)
    in0, in1 = (np.int32(ids).reshape(1, -1) for ids in (first, second))
    wanted, *positions = remap_ids(config, in0, in1)
    rows, *found = jax.device_get(_remap_in_step(config, in0, in1))
    np.testing.assert_equal(found, positions)
    for name, table in rows.items():
        inside = wanted[name][wanted[name] < VOCABULARY]
        np.testing.assert_array_equal(table[table < VOCABULARY], inside)
        assert (np.diff(table) > 0).all()


@pytest.mark.parametrize("tied", [True, False])
def test_a_step_that_finds_its_rows_itself_makes_the_same_of_them(tied):
    config = config_of(tied_token_embedding_weight=tied)
    ends = []
    for remaps in (True, False):
        step = make_train_step(config, remap_on_host=remaps)
        state = init_state(config, 0)
        for seed in range(3):
            state, _ = step(state, batch_of(seed, 1, VOCABULARY))
        ends.append(jax.device_get(state.params))
    for host, device in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(device, host, rtol=1e-5, atol=1e-6)


@given(st.integers(1, 10**6))
def test_row_counts_waste_at_most_a_quarter(rows):
    size = round_up_rows(rows, 10**7)
    assert rows <= size <= max(rows + 1, 1.25 * rows)
    assert round_up_rows(size, 10**7) == size


@pytest.mark.parametrize("by_kind", [True, False])
def test_rows_taken_and_put_back_are_the_table(by_kind):
    table = table_of(OPTIMIZERS["adam"](0.1), 9)
    rows = np.int32([0, 3, 8, 9, 10])
    small = take(table, rows)
    assert small.rows.shape == (5, 3, 2)
    np.testing.assert_array_equal(put_back(table, small, rows, by_kind=by_kind).rows, table.rows)
    doubled = put_back(table, small._replace(rows=small.rows * 2), rows, by_kind=by_kind)
    changed = (doubled.rows != table.rows).any(axis=(1, 2))
    assert changed.nonzero()[0].tolist() == [0, 3, 8]


@pytest.mark.parametrize("count", [3, 512, 1300])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rows_updated_in_chunks_are_as_if_updated_at_once(name, count):
    optimizer, rng = OPTIMIZERS[name](0.1), np.random.default_rng(count)
    table, rows = table_of(optimizer, 2000), np.sort(rng.choice(2000, count, replace=False))
    rows[-2:] = 2000, 2001  # outside
    gradient = {"weight": jax.numpy.asarray(rng.normal(size=(count, 2)), np.float32)}
    frozen = {"table": jax.numpy.asarray(rng.random(count) < 0.2)}
    parts, whole = (
        _update_rows(optimizer, "table", table, gradient, rows, frozen, in_chunks=in_chunks)
        for in_chunks in (True, False)
    )
    small = _update(optimizer, "table", take(table, rows), gradient, frozen)
    np.testing.assert_allclose(whole.rows, parts.rows, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(parts.rows[rows[:-2]], small.rows[:-2], rtol=1e-6, atol=1e-6)
    assert parts.rest == small.rest
    others = np.setdiff1d(np.arange(2000), rows)
    np.testing.assert_array_equal(parts.rows[others], table.rows[others])


# as in a step; outside one, each operation is compiled by itself
_update_rows = jax.jit(apply_row_updates, static_argnums=(0, 1), static_argnames="in_chunks")
_update = jax.jit(update, static_argnums=(0, 1))


def table_of(optimizer, size):
    weight = jax.numpy.asarray(np.random.default_rng(size).normal(size=(size, 2)), np.float32)
    table = pack_table(optimizer, weight)
    return table._replace(rows=table.rows + 0.5)  # of moments that are not zero
