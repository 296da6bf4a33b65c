"""From encodings of queries to positions and scores: by the model's metric, graph and head."""

from typing import Any, Literal

import numpy as np

from o2v_jax.array_types import Floats, Index
from o2v_jax.checkpoint import Model
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.validate import NO_TOKEN, NOT_FINITE
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

    def search(self, encodings: Floats, k: int | Index, excluded: Excluded = NONE_EXCLUDED) -> Top:
        """The k best items of each query with the model's scores, not the products, in `products`.

        What a query finds does not depend on those beside it.

        Args:
            encodings: of the queries, float32 `[queries, enc_dim]`.
            k: at least 1, for all queries or int64 `[queries]`; all, if there are fewer. What is
                returned has as many columns as the largest.
            excluded: what is left out.
        """
        most = min(int(np.max(k, initial=1)), len(self.vectors))
        ks = np.broadcast_to(np.minimum(k, most), len(encodings))
        top = Top.of_nothing(len(encodings), most)
        for rows in self._group(ks, excluded):
            here = excluded.of_queries(rows, len(ks))
            top.put(rows, self._search_group(encodings[rows], ks[rows], here))
        beyond = np.arange(most) >= ks[:, None]
        top.positions[beyond], top.products[beyond] = -1, -np.inf
        return top

    def _group(self, ks: Index, excluded: Excluded) -> list[Index]:
        """The numbers of queries that can be searched together and find what each would alone."""
        ways = np.zeros((len(ks), 3), np.int64)
        if isinstance(self.metric, Surrogate):
            ways[:, 0] = self._count_nearest(ks)  # more candidates may be better ones
        if self.graph is not None:
            counts = excluded.count_each(len(ks))
            wanted = self._count_nearest(ks) + counts
            more = wanted > self.graph.expansion  # then a search visits more of the graph
            ways[more, 1], ways[more, 2] = ks[more], counts[more]
            ways[wanted > MAX_WANTED, 1:] = -1
        groups = np.unique(ways, axis=0, return_inverse=True)[1].reshape(-1)
        return [np.flatnonzero(groups == group) for group in range(groups.max(initial=-1) + 1)]

    def _count_nearest(self, ks: Index) -> Index:
        """How many items of the largest products each query needs, int64 `[queries]`.

        The head is asked about `candidates` times a power of two, so that queries of many ks are
        few groups.
        """
        if isinstance(self.metric, Surrogate):
            times = np.maximum(1, 2 * ks / self._candidates)
            ks = self._candidates * 2 ** np.ceil(np.log2(times)).astype(np.int64)
        return np.minimum(ks, len(self.vectors))

    def _search_group(self, encodings: Floats, ks: Index, excluded: Excluded) -> Top:
        """Searches queries of a group, as many at a time as there is memory for."""
        numbers = self._count_gathered(ks, excluded) * encodings.shape[1]
        step = max(1, self._gathered // numbers)
        top = Top.of_nothing(len(ks), int(ks.max()))
        with np.errstate(over="ignore", invalid="ignore"):  # of very large numbers
            for at in range(0, len(encodings), step):
                part = slice(at, at + step)
                here = excluded.between_queries(at, at + step)
                top.put(part, self._search(encodings[part], ks[part], here))
        return top

    def _count_gathered(self, ks: Index, excluded: Excluded) -> int:
        """Items of which a query needs copies of the vectors, or 1."""
        if self.graph is None and not isinstance(self.metric, Surrogate):
            return 1
        return int(self._count_nearest(ks).max()) + excluded.longest

    def _search(self, encodings: Floats, ks: Index, excluded: Excluded) -> Top:
        queries = self.metric.make_queries(encodings)
        nearest = self._find_nearest(queries, self._count_nearest(ks), excluded)
        if isinstance(self.metric, Surrogate):
            return self._head.rank_candidates(
                encodings, self.vectors, nearest.positions, int(ks.max())
            )
        return Top(nearest.positions, self.metric.make_scores(nearest.products, encodings))

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
            _refuse_first(objects.lengths == 0, NO_TOKEN)
            encodings = self._scorer.embed_validated(self.query_side, objects)
        else:
            encodings = objects
        finite = np.isfinite(encodings).all(axis=1)
        _refuse_first(~finite, NOT_FINITE)
        return encodings

    def _find_nearest(self, queries: Floats, ks: Index, excluded: Excluded) -> Top:
        wanted = int((ks + excluded.count_each(len(ks))).max())
        if self.graph is not None and wanted <= MAX_WANTED:
            return self.graph.search(queries, ks, excluded)
        return search_exact(self.vectors, queries, int(ks.max()), excluded)


def _check_info(info: IndexInfo, model: Model, exact: ExactMetric | None) -> None:
    name = "reranked" if exact is None else exact.name
    if info.metric != name or info.dimensions != model.config.enc_dim:
        raise InputError(f"metric must be {name}, of {model.config.enc_dim} dimensions")
    if exact is None and not (info.candidates and info.anchors):
        raise InputError("candidates and anchors must be at least 1")


def _refuse_first(wrong: Any, reason: str) -> None:
    if wrong.any():
        raise RecordError(f"query {int(wrong.argmax())}", reason)
