"""Models and scorers print in a few lines."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import o2v_jax
from o2v_jax import Hyperparameters, Model, Scorer, Tokenizer, Vocabulary

SMALL = Hyperparameters(enc0_vocab_size=9, enc0_max_seq_len=4)
WORDS = Vocabulary({"<unk>": 1, "a": 2})


@pytest.fixture(scope="module")
def model():
    config = Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_vocab_size=1200,
        enc0_max_seq_len=4,
        enc1_network="hcnn",
        enc1_vocab_size=30,
        enc1_max_seq_len=7,
        enc1_token_embedding_dim=5,
        enc_dim=8,
        mlp_dim=4,
        num_classes=3,
    )
    metrics = {"best_epoch": 4, "train": {"accuracy": 0.9}, "validation": {"accuracy": 0.71234}}
    tokenizers = Tokenizer("value", WORDS), Tokenizer("ids")
    names = ("low", "middle", "high")
    return Model(config, o2v_jax.init(config), tokenizers, metrics, class_names=names)


def test_a_model_says_what_it_is(model):
    count = sum(array.size for array in o2v_jax.checkpoint.flatten(model.params).values())
    assert repr(model).splitlines() == [
        "Model",
        "  in0: pooled_embedding, 1,200 tokens of 8, at most 4 long -> 8",
        "  in1: hcnn, 30 tokens of 5, at most 7 long -> 8",
        "  compared by hadamard, concat, abs_diff; MLP 2 x 4 linear; 3 classes",
        "  takes in0 value, in1 ids",
        "  classes low, middle, high",
        f"  {count:,} parameters ({4 * count / 1e6:.1f} MB)",
        "  validation accuracy 0.7123 in epoch 4",
    ]


def test_what_is_not_known_is_left_out(model):
    config = replace(model.config, output_layer="mean_squared_error")
    lines = repr(Model(config, {})).splitlines()
    assert len(lines) == 4
    assert lines[-1].endswith("; regression")


def test_a_metric_that_was_not_finite_is_left_out(model):
    lost = replace(model, metrics={"best_epoch": 0, "validation": {"accuracy": None}})
    assert repr(lost).splitlines() == repr(model).splitlines()[:-1]


def test_many_long_names_are_cut(model):
    names = tuple(f"{number} {'x' * 100}" for number in range(30))
    config = replace(model.config, num_classes=30)
    shown = repr(replace(model, config=config, class_names=names))
    assert "and 25 more" in shown
    assert max(map(len, shown.splitlines())) < 150
    assert len(shown.splitlines()) <= 10


@pytest.mark.parametrize("model", [Model(None, {}), Model({}, None), Model(SMALL, 5)])
def test_a_model_of_anything_prints(model):
    assert repr(model).startswith("Model\n")


def test_a_scorer_says_where_and_how_it_computes(model):
    scorer = Scorer(model)
    scorer.score([[2]], [[3]])
    first, *middle, last = repr(scorer).splitlines()
    assert first.startswith("Scorer on ")
    assert first.endswith(", float32")
    assert middle == repr(model).splitlines()[1:6]
    assert last == f"  {scorer.compiled} programs compiled"
    assert scorer.compiled > 0


def test_a_key_is_as_good_as_a_seed(model):
    expected = o2v_jax.checkpoint.flatten(o2v_jax.init(model.config, 3))
    for key in (jax.random.key(3), jax.random.PRNGKey(3)):
        found = o2v_jax.checkpoint.flatten(
            jax.jit(lambda key: o2v_jax.init(model.config, key))(key)
        )
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("wrong", [np.zeros((2, 2), np.uint32), np.zeros(3, np.float32)])
def test_what_is_no_key_is_refused(model, wrong):
    with pytest.raises(o2v_jax.InputError, match="must be an integer, or one key"):
        o2v_jax.init(model.config, jnp.asarray(wrong))
