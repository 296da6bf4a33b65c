"""Queries to measure with: those that are given, or what stands in for them."""

from typing import Any, Literal, NamedTuple

import numpy as np

from o2v_jax.array_types import Floats
from o2v_jax.checkpoint import Model
from o2v_jax.data.ragged import Ragged, offsets_of

MAX_QUERIES = 100
_SEED = 0


class QuerySample(NamedTuple):
    """Objects of the side that asks, and what they are, for people."""

    objects: Ragged | Floats
    source: str


class ItemSample:
    """A random sample of items, each with the same chance, of any number of them.

    Args:
        size: of the sample.
    """

    def __init__(self, size: int = MAX_QUERIES) -> None:
        self._size = size
        self._rng = np.random.default_rng(_SEED)
        self._draws = np.zeros(0)
        self._objects: Ragged | Floats | None = None

    def add(self, objects: Ragged | Floats) -> None:
        """Adds items; the sample keeps those with the smallest of random draws."""
        both = objects if self._objects is None else _join(self._objects, objects)
        draws = np.concatenate([self._draws, self._rng.random(len(objects))])
        kept = np.argsort(draws)[: self._size]
        self._draws = draws[kept]
        self._objects = both.take(kept) if isinstance(both, Ragged) else both[kept]

    def get(self) -> Ragged | Floats:
        """The sample."""
        return Ragged.of([]) if self._objects is None else self._objects


def draw_queries(model: Model, side: Literal[0, 1], items: ItemSample) -> QuerySample:
    """Queries where none are given.

    Items ask for items like them where both sides read one vocabulary. Otherwise queries are random
    ids of the asking side, as many a query as in training where the model knows it: they say less
    than real queries would.

    Args:
        model: of the index.
        side: of the items.
        items: some of them.
    """
    sample = items.get()
    if isinstance(sample, Ragged) and len(sample) and _are_alike(model):
        return QuerySample(sample, "items of the index")
    return QuerySample(_draw_ids(model, 1 - side), "random ids")


def choose_some(objects: Ragged | Floats) -> Ragged | Floats:
    """At most `MAX_QUERIES` of given queries, drawn at random."""
    if len(objects) <= MAX_QUERIES:
        return objects
    rows = np.random.default_rng(_SEED).choice(len(objects), MAX_QUERIES, replace=False)
    return objects.take(rows) if isinstance(objects, Ragged) else objects[rows]


def _join(one: Ragged | Floats, other: Any) -> Ragged | Floats:
    if isinstance(one, Ragged):
        return Ragged.concatenate([one, other])
    joined: Floats = np.concatenate([one, other])
    return joined


def _are_alike(model: Model) -> bool:
    """Whether ids mean the same on both sides."""
    tokenizers = model.tokenizers
    is_one = tokenizers is not None and tokenizers[0] == tokenizers[1]
    return model.config.tied_token_embedding_weight or (
        is_one and len({*model.config.vocab_sizes}) == 1
    )


def _draw_ids(model: Model, side: int) -> Ragged:
    rng = np.random.default_rng(_SEED)
    encoder = model.config.encoder(side)
    histogram = None if model.length_histogram is None else model.length_histogram[side][1:]
    if histogram is None or not histogram.sum():
        lengths = rng.integers(1, encoder.max_seq_len + 1, MAX_QUERIES)
    else:
        chances = histogram / histogram.sum()
        lengths = 1 + rng.choice(len(chances), MAX_QUERIES, p=chances)
    lengths = np.minimum(lengths, encoder.max_seq_len)
    ids = rng.integers(1, encoder.vocab_size, lengths.sum(), dtype=np.int32)
    return Ragged(ids, offsets_of(lengths))
