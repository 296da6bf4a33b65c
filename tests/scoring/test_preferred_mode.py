"""Only what the preferred mode needs is compiled ahead and put on the device."""

import jax
import numpy as np
import pytest

from o2v_jax import Scorer

pytestmark = pytest.mark.slow

ROWS = [[3, 1, 2], [], [7, 0, 7]]


def is_on_device(width):
    """Whether any array there has an axis of this length."""
    return any(width in array.shape for array in jax.live_arrays())


def test_preferring_embeddings_leaves_the_head_off_the_device(config_of, model_of):
    model = model_of(config_of(enc0_network="pooled_embedding", mlp_dim=37, mlp_activation="relu"))
    scorer = Scorer(model, preferred_mode="embedding", max_programs=20)
    assert scorer.warm() == scorer.compiled == len(scorer.list_warm_keys())
    assert {part for part, _, _ in scorer.list_warm_keys()} == {"encoder", "rows"}
    scorer.embed(in0=ROWS)
    assert not is_on_device(37)
    scores = scorer.score(ROWS, ROWS)
    assert is_on_device(37)
    np.testing.assert_allclose(scores, Scorer(model, max_programs=20).score(ROWS, ROWS), atol=1e-6)
    assert {part for part, _, _ in Scorer(model, max_programs=20).list_warm_keys()} == {
        "encoder",
        "pairs",
        "head",
        "rows",
    }


@pytest.mark.parametrize(("mode", "width"), [(None, 41), ("classification", 43)])
def test_otherwise_the_head_is_there_at_once(config_of, model_of, mode, width):
    scorer = Scorer(model_of(config_of(mlp_dim=width, mlp_activation="relu")), preferred_mode=mode)
    assert is_on_device(width)
    assert scorer.list_warm_keys() == scorer.shapes.list_programs()
