"""What stands in for a head that is no inner product: for each query the nearest linear function.

The head compares a query with a few hundred anchors, items drawn at random. Ridge regression on
their encodings gives the linear function of an item's encoding that is nearest to these scores, and
with it an inner product that finds promising items among all others; the head itself then ranks
those. (Yadav et al. 2022, "Efficient nearest neighbor search for cross-encoder models using matrix
factorization", choose candidates by anchors too.)

The cosine of two encodings finds less: the first 200 of 4,082 sentences by cosine hold 0.7 % of the
ten likeliest entailments by the demonstration model, by anchors all; of 2,500 abstracts, for titles
by a relu network on products, 98.8 % and all. One linear function for all queries, fitted on a
sample of them, finds as much as anchors, but nobody may have such a sample when an index is built.
"""

from typing import Literal

import numpy as np

from o2v_jax.array_types import Floats, Index
from o2v_jax.retrieval.exact import Top, TopKeeper, sort_top
from o2v_jax.scoring import Scorer

ANCHORS = 256
_RIDGE = 1e-2  # of the mean squared length of an anchor
_LEAST = 1e-7  # a probability; float32 cannot tell 1 from what is nearer to it
_SEED = 0
_PAIRS_AT_A_TIME = 2**16


class HeadScorer:
    """Scores queries and items by the model's head.

    Args:
        scorer: of the model.
        query_side: 0 if queries are in0 and items in1, 1 the other way round.
        class_index: the column of the scores that ranks.
    """

    def __init__(self, scorer: Scorer, query_side: Literal[0, 1], class_index: int) -> None:
        self._scorer = scorer
        self._query_side = query_side
        self._class_index = class_index
        self.is_classification = scorer.config.is_classification

    def score(self, queries: Floats, rows: Index, items: Floats, item_rows: Index) -> Floats:
        """Scores float32 `[pairs]` of pairs of rows of encodings."""
        if self._query_side == 0:
            scores = self._scorer.compare(queries, rows, items, item_rows)
        else:
            scores = self._scorer.compare(items, item_rows, queries, rows)
        return np.ascontiguousarray(scores[:, self._class_index])

    def score_all(self, queries: Floats, items: Floats) -> Floats:
        """Scores float32 `[queries, items]` of every query beside every item."""
        rows, item_rows = np.divmod(np.arange(len(queries) * len(items)), len(items))
        return self.score(queries, rows, items, item_rows).reshape(len(queries), len(items))

    def rank_candidates(self, queries: Floats, vectors: Floats, positions: Index, k: int) -> Top:
        """The k best of the candidates of each query, by their scores.

        Args:
            queries: encodings, float32 `[queries, enc_dim]`.
            vectors: encodings of all items.
            positions: int64 `[queries, candidates]`; -1: none.
            k: how many of them.
        """
        rows, columns = np.nonzero(positions >= 0)
        needed, at = np.unique(positions[rows, columns], return_inverse=True)
        scores = np.full(positions.shape, -np.inf, np.float32)
        found = self.score(queries, rows, vectors[needed], at)
        scores[rows, columns] = np.where(np.isnan(found), np.float32(-np.inf), found)
        return sort_top(np.where(scores > -np.inf, positions, -1), scores, k)

    def rank_all(self, queries: Floats, vectors: Floats, k: int) -> Top:
        """The k best of all items for each query: what `Scorer.rank` would put first."""
        keeper = TopKeeper(len(queries), k)
        size = max(1, _PAIRS_AT_A_TIME // max(1, len(queries)))
        for first in range(0, len(vectors), size):
            keeper.add(self.score_all(queries, np.asarray(vectors[first : first + size])), first)
        return keeper.get()


class Surrogate:
    """Makes of each query the linear function that is nearest to its scores of the anchors.

    Args:
        head: scores.
        vectors: encodings of all items, float32 `[items, enc_dim]`.
        anchors: how many of them are compared with each query.
    """

    name: Literal["reranked"] = "reranked"

    def __init__(self, head: HeadScorer, vectors: Floats, anchors: int = ANCHORS) -> None:
        rng = np.random.default_rng(_SEED)
        chosen = rng.choice(len(vectors), min(anchors, len(vectors)), replace=False)
        self._head = head
        self._anchors = vectors[np.sort(chosen)]
        centered = self._anchors.astype(np.float64) - self._anchors.mean(axis=0)
        gram = centered @ centered.T
        ridge = max(_RIDGE * float(gram.trace()) / len(gram), 1e-30)
        self._solution = np.linalg.solve(gram + ridge * np.eye(len(gram)), centered)

    def make_queries(self, encodings: Floats) -> Floats:
        """The linear function of each query, float32 `[queries, enc_dim]`."""
        scores = self._head.score_all(encodings, self._anchors).astype(np.float64)
        if self._head.is_classification:  # log-odds are nearer to linear than probabilities
            scores = np.clip(scores, _LEAST, 1 - _LEAST)
            scores = np.log(scores / (1 - scores))
        scores = np.nan_to_num(scores - scores.mean(axis=1, keepdims=True))
        queries: Floats = (scores @ self._solution).astype(np.float32)
        return queries
