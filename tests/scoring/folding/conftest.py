"""enc0 of a small model by its folded parameters."""

import jax
import numpy as np
import pytest

from o2v_jax import Ragged
from o2v_jax.scoring.folding import encode_folded_fn, fold_encoder

# empty, of zeros only, one token, zeros inside and at either end, long with zeros inside
ROWS = [
    [],
    [0, 0, 0],
    [5],
    [3, 0, 4],
    [0, 0, 2, 19],
    [6, 1, 0, 0],
    [7, 6, 5, 4, 3, 2, 1, 9, 9, 9, 0, 0, 0, 8],
]


@pytest.fixture(scope="session")
def rows():
    """Rows of every kind; all but the first two have tokens."""
    return ROWS


@pytest.fixture(params=[True, False], ids=["tokens folded", "tokens as they are"])
def tokens(request):
    """Whether the tokens are multiplied by the first layer beforehand."""
    return request.param


@pytest.fixture(scope="session")
def folded_of():
    """A function of a model, `tokens` and maybe another table: parameters of enc0, folded."""
    return _folded_of


@pytest.fixture(scope="session")
def encoder_of():
    """A function of the same arguments: a function of rows, padded to the longest or a length."""
    return _encoder_of


def _folded_of(model, tokens, table=None):
    table = model.params["embed_0"]["weight"] if table is None else table
    config, params = model.config.encoder(0), model.params["source"]
    # the models are small
    return fold_encoder(config, table, params, tokens=tokens, min_fan=1)


def _encoder_of(model, tokens, table=None):
    params = _folded_of(model, tokens, table)
    encode = jax.jit(encode_folded_fn(model.config.encoder(0)))

    def encodings(rows, length=0):
        length = max(1, length, *map(len, rows))
        return np.asarray(encode(params, Ragged.of(rows).pad(len(rows), length)))

    return encodings
