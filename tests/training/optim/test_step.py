"""The training step against a statement of it in NumPy, and what each setting changes."""

import jax
import numpy as np
import pytest

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import logits_fn, parameter_shapes, score_fn
from o2v_jax.training.data.batches import Batch
from o2v_jax.training.optim.optimizers import note_learning_rate
from o2v_jax.training.optim.step import init_state, make_evaluation_step, make_train_step

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)


def config_of(**settings) -> Hyperparameters:
    defaults = {
        "enc0_max_seq_len": 6,
        "enc0_vocab_size": 30,
        "enc0_token_embedding_dim": 8,
        "enc_dim": 16,
        "mlp_dim": 8,
        "num_classes": 3,
        "learning_rate": 0.05,
    }
    return Hyperparameters(**{**defaults, **settings})


def batch_of(rows: int = 4, weights: tuple[float, ...] = (1, 1, 1, 0)) -> Batch:
    rng = np.random.default_rng(3)
    in0, in1 = rng.integers(0, 30, (2, rows, 6)).astype(np.int32)
    labels = rng.integers(0, 3, rows).astype(np.float32)
    return Batch(in0, in1, labels, np.asarray(weights, np.float32))


def leaves(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.device_get(tree))])


def test_sums_are_those_of_the_scores():
    config, batch = config_of(), batch_of()
    params = init_state(config, 0).params
    sums = make_evaluation_step(config)(params, batch)
    scores = np.asarray(jax.jit(score_fn(config))(params, batch.in0, batch.in1))
    classes = batch.labels.astype(int)
    loss = -np.log(scores[np.arange(4), classes])
    assert float(sums.loss) == pytest.approx(float((loss * batch.weights).sum()), rel=1e-5)
    assert float(sums.correct) == float(((scores.argmax(1) == classes) * batch.weights).sum())
    assert float(sums.weight) == 3


def test_regression_sums_squares():
    config, batch = config_of(output_layer="mean_squared_error"), batch_of()
    params = init_state(config, 0).params
    sums = make_evaluation_step(config)(params, batch)
    values = np.asarray(jax.jit(score_fn(config))(params, batch.in0, batch.in1))[:, 0]
    expected = (np.square(values - batch.labels) * batch.weights).sum()
    assert float(sums.loss) == pytest.approx(float(expected), rel=1e-5)
    assert float(sums.correct) == 0


def test_rows_of_weight_zero_teach_nothing():
    config, batch = config_of(), batch_of()
    other = batch._replace(in0=batch.in0.copy(), labels=batch.labels.copy())
    other.in0[3], other.labels[3] = 7, (batch.labels[3] + 1) % 3
    one, two = (make_train_step(config)(init_state(config, 0), b)[0].params for b in (batch, other))
    np.testing.assert_array_equal(leaves(one), leaves(two))


def test_sgd_is_the_gradient_of_the_mean_loss_plus_decay():
    config, batch = config_of(optimizer="sgd", weight_decay=0.1), batch_of()
    before = jax.device_get(init_state(config, 0).params)

    def loss(params):
        logits = logits_fn(config)(params, batch.in0, batch.in1)
        picked = jax.nn.log_softmax(logits)[np.arange(4), batch.labels.astype(int)]
        return -(picked * batch.weights).sum() / 3.0

    gradient = leaves(jax.jit(jax.grad(loss))(before))
    after = make_train_step(config)(init_state(config, 0), batch)[0].params
    decays = leaves(
        jax.tree_util.tree_map_with_path(
            lambda path, leaf: np.full(leaf.shape, path[-1].key == "weight"), before
        )
    )
    expected = leaves(before) - 0.05 * (gradient + 0.1 * decays * leaves(before))
    np.testing.assert_allclose(leaves(after), expected, atol=1e-6)


def zeiler(weight, gradient, memory):
    g2 = memory["g2"] = 0.9 * memory["g2"] + 0.1 * gradient**2
    moved = np.sqrt(memory["d2"] + 1e-5) / np.sqrt(g2 + 1e-5) * gradient
    memory["d2"] = 0.9 * memory["d2"] + 0.1 * moved**2
    return weight - moved


def duchi(weight, gradient, memory):
    memory["g2"] = memory["g2"] + gradient**2
    return weight - 0.05 * gradient / np.sqrt(memory["g2"] + 1e-7)


def kingma(weight, gradient, memory):
    memory["t"] += 1
    m = memory["d2"] = 0.9 * memory["d2"] + 0.1 * gradient
    v = memory["g2"] = 0.999 * memory["g2"] + 0.001 * gradient**2
    corrected = np.sqrt(v / (1 - 0.999 ** memory["t"])) + 1e-8
    return weight - 0.05 * m / (1 - 0.9 ** memory["t"]) / corrected


def tieleman(weight, gradient, memory):
    memory["g2"] = 0.9 * memory["g2"] + 0.1 * gradient**2
    return weight - 0.05 * gradient / np.sqrt(memory["g2"] + 1e-8)


def descent(weight, gradient, memory):
    return weight - 0.05 * gradient


RULES = {
    "adadelta": zeiler,
    "adagrad": duchi,
    "adam": kingma,
    "rmsprop": tieleman,
    "sgd": descent,
}


@pytest.mark.parametrize("name", RULES)
def test_every_optimizer_follows_its_rule(name):
    config, batch = config_of(optimizer=name, enc0_network="pooled_embedding"), batch_of()
    state, step, evaluate = (
        init_state(config, 0),
        make_train_step(config),
        make_evaluation_step(config),
    )
    gradient_of = jax.jit(jax.grad(lambda params: evaluate(params, batch).loss / np.float32(3)))
    memory = {"g2": 0.0, "d2": 0.0, "t": 0}
    for _ in range(4):
        before, gradient = leaves(state.params), leaves(gradient_of(state.params))
        expected = RULES[name](before, gradient.astype(np.float64), memory)
        state, _ = step(state, batch)
        # what is all but no gradient is rounding, which adam and its like blow up
        significant = np.abs(gradient) > 1e-6
        assert significant.mean() > 0.3
        np.testing.assert_allclose(
            leaves(state.params)[significant], expected[significant], atol=2e-4
        )


@pytest.mark.parametrize("name", RULES)
def test_every_optimizer_lowers_the_loss_and_compiles_once(name, compilations):
    config, batch = config_of(optimizer=name, learning_rate=0.02), batch_of()
    state, step, losses = init_state(config, 0), make_train_step(config), []
    for _ in range(60 if name == "adadelta" else 30):
        state, sums = step(state, batch)
        losses.append(sums.mean_loss())
        if len(losses) == 1:
            compilations.clear()
    assert losses[-1] < 0.9 * losses[0]
    assert compilations == []


def test_adadelta_has_no_learning_rate(caplog):
    batch = batch_of()
    one, two = (
        make_train_step(config)(init_state(config, 0), batch)[0].params
        for config in (config_of(optimizer="adadelta", learning_rate=r) for r in (0.1, 0.9))
    )
    np.testing.assert_array_equal(leaves(one), leaves(two))
    note_learning_rate(config_of(optimizer="adadelta", learning_rate=0.9))
    assert "learning_rate=0.9 is not used" in caplog.text
    caplog.clear()
    note_learning_rate(config_of())
    assert not caplog.text


def test_biases_do_not_decay():
    config, batch = config_of(optimizer="sgd", weight_decay=0.5), batch_of()
    plain = config_of(optimizer="sgd")
    one, two = (
        jax.device_get(make_train_step(c)(init_state(c, 0), batch)[0].params)
        for c in (config, plain)
    )
    same = jax.tree.map(np.array_equal, one, two)
    assert not same["embed_0"]["weight"]
    assert same["head"]["output_layer"] == {"weight": False, "bias": True}


@pytest.mark.parametrize("network", ["hcnn", "bilstm", "pooled_embedding"])
def test_every_parameter_learns_and_padding_does_not(network):
    config, batch = config_of(enc0_network=network), batch_of()
    state = init_state(config, 0)
    before = jax.device_get(state.params)
    after = jax.device_get(make_train_step(config)(state, batch)[0].params)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), before, after)
    assert all(jax.tree.leaves(moved))
    assert len(jax.tree.leaves(moved)) == len(parameter_shapes(config))
    table = {"pooled_embedding": "embed_0"}.get(network, "embed_0")
    np.testing.assert_array_equal(before[table]["weight"][0], after[table]["weight"][0])


def test_dropout_draws_again_at_every_step():
    config, batch = config_of(dropout=0.5), batch_of()
    state, step = init_state(config, 0), make_train_step(config)
    state, first = step(state, batch)
    assert (
        first.mean_loss()
        != make_train_step(config_of())(init_state(config, 0), batch)[1].mean_loss()
    )
    assert not np.array_equal(
        jax.random.key_data(state.key), jax.random.key_data(init_state(config, 0).key)
    )


def test_the_seed_decides_the_start():
    one, again, other = (leaves(init_state(config_of(), seed).params) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
