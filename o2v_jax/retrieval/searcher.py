"""From encodings of queries to positions and scores: by the model's metric, graph and head."""

from typing import Any, Literal

import numpy as np

from o2v_jax.array_types import Floats
from o2v_jax.checkpoint import Model
from o2v_jax.data.ragged import Ragged
from o2v_jax.errors import InputError, RecordError
from o2v_jax.retrieval.approximate import MAX_WANTED, Graph
from o2v_jax.retrieval.exact import NONE_EXCLUDED, Excluded, Top, search_exact
from o2v_jax.retrieval.files import IndexInfo
from o2v_jax.retrieval.metric import ExactMetric, find_exact_metric
from o2v_jax.retrieval.surrogate import HeadScorer, Surrogate
from o2v_jax.scoring import Scorer

GATHERED_NUMBERS = 2**25  # of vectors that are copied for some queries at a time: 128 MB


class Searcher:
    """Searches the vectors of an index.

    Args:
        model: of the index.
        scorer: of that model.
        info: what the index is.
        vectors: float32 `[items, enc_dim]`.
        graph: of the vectors; None: every search looks at all of them.
        gathered: numbers of vectors that may be copied at a time; more queries take turns.

    Raises:
        InputError: `info` is not what follows from the model.
    """

    def __init__(
        self,
        model: Model,
        scorer: Scorer,
        info: IndexInfo,
        vectors: Floats,
        graph: Graph | None = None,
        gathered: int = GATHERED_NUMBERS,
    ) -> None:
        self.query_side: Literal[0, 1] = 1 if info.side == "in0" else 0
        self.vectors = vectors
        self.graph = graph
        self._gathered = gathered
        self._candidates = info.candidates
        if info.class_index >= model.config.outputs:
            raise InputError(f"class_index must be below {model.config.outputs}")
        self._head = HeadScorer(scorer, self.query_side, info.class_index)
        self._scorer = scorer
        exact = find_exact_metric(model, self.query_side, info.class_index)
        _check_info(info, model, exact)
        self.metric: ExactMetric | Surrogate = exact or Surrogate(self._head, vectors, info.anchors)

    def search(self, encodings: Floats, k: int, excluded: Excluded = NONE_EXCLUDED) -> Top:
        """The k best items of each query with the model's scores, not the products, in `products`.

        Args:
            encodings: of the queries, float32 `[queries, enc_dim]`.
            k: at least 1; all, if there are fewer.
            excluded: what is left out.
        """
        k = min(k, len(self.vectors))
        numbers = self._count_gathered(k, excluded) * encodings.shape[1]
        step = max(1, self._gathered // numbers)
        tops = [Top(np.zeros((0, k), np.int64), np.zeros((0, k), np.float32))]
        with np.errstate(over="ignore", invalid="ignore"):  # of very large numbers
            for at in range(0, len(encodings), step):
                here = excluded.between_queries(at, at + step)
                tops.append(self._search(encodings[at : at + step], k, here))
        positions, products = zip(*tops, strict=True)
        return Top(np.concatenate(positions), np.concatenate(products))

    def _count_gathered(self, k: int, excluded: Excluded) -> int:
        """Items of which a query needs copies of the vectors, or 1."""
        if isinstance(self.metric, Surrogate):
            return max(self._candidates, 2 * k) + excluded.longest
        return 1 if self.graph is None else k + excluded.longest

    def _search(self, encodings: Floats, k: int, excluded: Excluded) -> Top:
        queries = self.metric.make_queries(encodings)
        if not isinstance(self.metric, Surrogate):
            positions, products = self._find_nearest(queries, k, excluded)
            return Top(positions, self.metric.make_scores(products, encodings))
        nearest = self._find_nearest(queries, max(self._candidates, 2 * k), excluded)
        return self._head.rank_candidates(encodings, self.vectors, nearest.positions, k)

    def rank_all(self, encodings: Floats, k: int) -> Top:
        """The k best of all items for each query, whatever `search` would miss."""
        if isinstance(self.metric, Surrogate):
            return self._head.rank_all(encodings, self.vectors, k)
        top = search_exact(self.vectors, self.metric.make_queries(encodings), k)
        return Top(top.positions, self.metric.make_scores(top.products, encodings))

    def encode_queries(self, queries: Any) -> Floats:
        """Encodings of queries, float32 `[queries, enc_dim]`.

        Raises:
            RecordError: a query is empty, or an encoding holds NaN or infinity.
        """
        objects = self._scorer.read_objects(self.query_side, queries)
        if isinstance(objects, Ragged):
            _refuse_first(objects.lengths == 0, "is empty, or holds no token that the model knows")
            encodings = self._scorer.embed_validated(self.query_side, objects)
        else:
            encodings = objects
        finite = np.isfinite(encodings).all(axis=1)
        _refuse_first(~finite, "its encoding holds NaN or infinity")
        return encodings

    def _find_nearest(self, queries: Floats, k: int, excluded: Excluded) -> Top:
        k = min(k, max(1, len(self.vectors)))
        if self.graph is not None and k + excluded.longest <= MAX_WANTED:
            return self.graph.search(queries, k, excluded)
        return search_exact(self.vectors, queries, k, excluded)


def _check_info(info: IndexInfo, model: Model, exact: ExactMetric | None) -> None:
    name = "reranked" if exact is None else exact.name
    if info.metric != name or info.dimensions != model.config.enc_dim:
        raise InputError(f"metric must be {name}, of {model.config.enc_dim} dimensions")
    if exact is None and not (info.candidates and info.anchors):
        raise InputError("candidates and anchors must be at least 1")


def _refuse_first(wrong: Any, reason: str) -> None:
    if wrong.any():
        raise RecordError(f"query {int(wrong.argmax())}", reason)
