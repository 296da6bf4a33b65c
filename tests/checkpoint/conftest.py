"""A small model, in memory and on disk."""

import numpy as np
import pytest

from o2v_jax.checkpoint import Model, flatten, nest, save
from o2v_jax.data.tokenizers import share_text_vocabulary
from o2v_jax.data.vocabulary import Vocabulary
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import parameter_shapes

CONFIG = Hyperparameters(
    enc0_network="pooled_embedding",
    enc0_max_seq_len=8,
    enc0_vocab_size=20,
    enc0_token_embedding_dim=4,
    enc_dim=4,
    mlp_dim=3,
    mlp_layers=1,
)


def _make(seed=0):
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(CONFIG)
    params = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return Model(
        config=CONFIG,
        params=nest(params),
        tokenizers=share_text_vocabulary(
            Vocabulary({"<unk>": 1, "man": 19}, lowercase=bool(seed % 2))
        ),
        metrics={"test accuracy": 0.5 + seed},
        provenance={"seed": seed, "data": {"train.jsonl": "c0ffee"}},
        length_histogram=(np.array([0, 3 + seed]), np.array([1, 0, 0, 2])),
    )


def _difference(one, other):
    arrays, others = flatten(one.params), flatten(other.params)
    parts = ("config", "tokenizers", "metrics", "provenance")
    found = {part for part in parts if getattr(one, part) != getattr(other, part)}
    found |= {n for n in arrays if n not in others or not np.array_equal(arrays[n], others[n])}
    if not all(map(np.array_equal, one.length_histogram, other.length_histogram)):
        found.add("length_histogram")
    return found | (others.keys() - arrays.keys())


@pytest.fixture(scope="session")
def make_model():
    """A function of a seed: models of different seeds differ in all but their configuration."""
    return _make


@pytest.fixture(scope="session")
def difference():
    """A function of two models: the names of what they do not have in common."""
    return _difference


@pytest.fixture
def saved(tmp_path):
    """The directory of the model of seed 0."""
    return save(_make(), tmp_path / "model")
