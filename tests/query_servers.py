"""A model of words with an index, and servers of both, for the tests of /search and /rerank."""

import json
import time
from contextlib import contextmanager

import numpy as np
from contract_clients import SECONDS, create_client

import o2v_jax
from o2v_jax import Hyperparameters, Index, Model, Scorer, Vocabulary
from o2v_jax.data.tokenizers import Tokenizer
from o2v_jax.server.settings import ServerSettings

WORDS = [f"w{number}" for number in range(18)]
VOCABULARY = Vocabulary({"<unk>": 1} | {word: at for at, word in enumerate(WORDS, 2)})
ITEMS = [f"{one} {two}" for one in WORDS[:5] for two in WORDS[::3]]
KEYS = [f"item {number}" for number in range(len(ITEMS))]
LINES = {"content-type": "application/jsonlines"}


class SoonWarmScorer(Scorer):
    """Keeps to the programs of its first warm-up, which fit every request: there are few."""

    def warm(self, **_):
        return 0


def make_scorer(tokenizers=True, **hyperparameters):
    """A model of few programs, and a scorer of it."""
    config = Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_max_seq_len=3,
        enc0_vocab_size=20,
        enc0_token_embedding_dim=8,
        enc_dim=8,
        **({"mlp_dim": 4, "num_classes": 2} | hyperparameters),
    )
    params = o2v_jax.init(config, 3)
    tokenizer = Tokenizer("text", VOCABULARY)
    model = Model(config, params, (tokenizer, tokenizer) if tokenizers else None)
    scorer = SoonWarmScorer(model, max_programs=20)
    scorer.warm_first()
    return model, scorer


def make_index(model, scorer, **arguments):
    return Index.build(model, ITEMS, keys=KEYS, scorer=scorer, **arguments)


@contextmanager
def serving(shim, scorer, index=None):
    """A client of a server whose warm-up has ended: no thread is left."""
    client = create_client(shim, scorers=[scorer], settings=ServerSettings(), index=index)
    try:
        end = time.monotonic() + SECONDS
        while not client.service.health.warm_up_ended:
            assert time.monotonic() < end
            time.sleep(0.01)
        yield client
    finally:
        client.close()


def write_lines(records):
    return "\n".join(map(json.dumps, records)).encode()


def require_hits(answer, hits):
    """Checks that an answer holds what `Index.search` finds."""
    found = answer["hits"]
    assert [each["key"] for each in found] == hits.keys
    np.testing.assert_allclose([each["score"] for each in found], hits.scores, rtol=2e-6, atol=1e-6)


def require_ranking(answer, ranking):
    """Checks that an answer holds what `Scorer.rank` gives."""
    found = answer["results"]
    assert [each["index"] for each in found] == ranking.indices.tolist()
    np.testing.assert_allclose(
        [each["score"] for each in found], ranking.scores, rtol=2e-6, atol=1e-6
    )
