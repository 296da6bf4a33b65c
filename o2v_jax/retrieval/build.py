"""Building an index: items are encoded slice by slice, and what a search finds is measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from o2v_jax.array_types import Floats
from o2v_jax.checkpoint import Model, hash_model
from o2v_jax.data.ragged import Ragged
from o2v_jax.errors import InputError, RecordError
from o2v_jax.extras import require_extra
from o2v_jax.retrieval.approximate import EXPANSIONS, Graph
from o2v_jax.retrieval.files import GRAPH, IndexInfo, Recall, replace_index, write_info
from o2v_jax.retrieval.items import ItemSlice
from o2v_jax.retrieval.keys import KEY_TYPES, KeyType
from o2v_jax.retrieval.metric import ExactMetric, find_exact_metric
from o2v_jax.retrieval.recall import DEPTH, compute_recall, count_affordable_queries
from o2v_jax.retrieval.sample import ItemSample, QuerySample, choose_some, draw_queries
from o2v_jax.retrieval.searcher import Searcher
from o2v_jax.retrieval.store import FileStore, MemoryStore
from o2v_jax.retrieval.surrogate import ANCHORS
from o2v_jax.scoring import Scorer

GOOD_RECALL = 0.99  # at which searches of a graph need not visit more


class BuiltIndex(NamedTuple):
    """What a build made: see `Index`."""

    info: IndexInfo
    searcher: Searcher
    keys: pa.ChunkedArray


@dataclass(frozen=True, eq=False)
class Builder:
    """Builds the index of one model.

    Attributes:
        model: of the index.
        scorer: encodes items.
        side: of the items.
        class_index: the column of the scores that ranks.
        approximate: whether a graph is made.
        candidates: how many items the head compares with a query, if its scores are no inner
            products.
        queries: to measure recall with; None: see `draw_queries`.
        on_progress: called with the number of items that were encoded, each time.
    """

    model: Model
    scorer: Scorer
    side: Literal[0, 1]
    class_index: int
    approximate: bool
    candidates: int
    queries: Any = None
    on_progress: Callable[[int], None] = lambda _: None

    def __post_init__(self) -> None:
        if self.approximate:
            require_extra("search", "an approximate index", "usearch")

    @property
    def query_side(self) -> Literal[0, 1]:
        """Of queries: the other."""
        return 0 if self.side else 1

    def read_items(self, items: Any) -> Ragged | Floats:
        """Items that a caller holds, as ids or encodings.

        Raises:
            InputError, RecordError: as for `Scorer.score`; or an item is empty.
        """
        objects = self.scorer.read_objects(self.side, items)
        if isinstance(objects, Ragged) and not objects.lengths.all():
            reason = "is empty, or holds no token that the model knows"
            raise RecordError(f"item {int(objects.lengths.argmin())}", reason)
        return objects

    def build(
        self, key_type: KeyType, slices: Iterator[ItemSlice], output: Path | None
    ) -> BuiltIndex:
        """Encodes all items, and writes the index if `output` names a directory for it.

        Raises:
            InputError: there are no items.
            RecordError: an item is wrong, or its encoding holds NaN or infinity; says which.
            CheckpointError: the directory is in use for something else, or cannot be written.
        """
        if output is None:
            return self._build(key_type, slices, None)
        with replace_index(output) as directory:
            return self._build(key_type, slices, directory)

    def _build(
        self, key_type: KeyType, slices: Iterator[ItemSlice], directory: Path | None
    ) -> BuiltIndex:
        metric = find_exact_metric(self.model, self.query_side, self.class_index)
        sample = ItemSample()
        store = _open_store(self.model.config.enc_dim, key_type, directory)
        with store:
            self._encode_all(slices, metric, store, sample)
        vectors, keys = store.open()
        if not len(vectors):
            raise InputError("there are no items to index")
        info = self._describe(metric, key_type, vectors)
        graph = Graph.build(vectors) if self.approximate else None
        searcher = Searcher(self.model, self.scorer, info, vectors, graph)
        info = self._measure(info, searcher, sample)
        if directory is not None:
            if graph is not None:
                graph.save(directory / GRAPH)
            info = write_info(directory, info)
        return BuiltIndex(info, searcher, keys)

    def _encode_all(
        self,
        slices: Iterator[ItemSlice],
        metric: ExactMetric | None,
        store: FileStore | MemoryStore,
        sample: ItemSample,
    ) -> None:
        for part in slices:
            encodings = self._encode(part)
            vectors = encodings if metric is None else metric.make_vectors(encodings)
            store.append(vectors, part.keys)
            sample.add(part.objects)
            self.on_progress(len(vectors))

    def _encode(self, part: ItemSlice) -> Floats:
        """Encodings of some items, all of them finite."""
        objects = self.scorer.read_objects(self.side, part.objects)
        if isinstance(objects, Ragged):
            encodings = self.scorer.embed_validated(self.side, objects)
        else:
            encodings = objects
        finite = np.isfinite(encodings).all(axis=1)
        if not finite.all():
            raise RecordError(
                part.where(int(finite.argmin())), "its encoding holds NaN or infinity"
            )
        return encodings

    def _describe(
        self, metric: ExactMetric | None, key_type: KeyType, vectors: Floats
    ) -> IndexInfo:
        compares = metric is None
        return IndexInfo(
            model_sha256=hash_model(self.model),
            dtype=self.scorer.dtype,
            side="in1" if self.side else "in0",
            class_index=self.class_index,
            count=len(vectors),
            dimensions=vectors.shape[1],
            metric="reranked" if metric is None else metric.name,
            key_type=key_type,
            candidates=self.candidates if compares else 0,
            anchors=ANCHORS if compares else 0,
        )

    def _measure(self, info: IndexInfo, searcher: Searcher, items: ItemSample) -> IndexInfo:
        """Measures recall, where it may be below 1; a graph's searches then visit enough for it."""
        if not (self.approximate or info.candidates):
            return info
        sample = self._choose_queries(items)
        encodings = searcher.encode_queries(sample.objects)
        if info.candidates:
            encodings = encodings[: count_affordable_queries(info.count)]
        right = searcher.rank_all(encodings, DEPTH)
        for expansion in EXPANSIONS:
            if searcher.graph is not None:
                searcher.graph.expansion = expansion
            reached = compute_recall(searcher.search(encodings, DEPTH), right)
            if reached >= GOOD_RECALL or searcher.graph is None:
                break
        used = 0 if searcher.graph is None else searcher.graph.expansion
        recall = Recall(reached, len(encodings), sample.source)
        return msgspec.structs.replace(info, expansion=used, recall=recall)

    def _choose_queries(self, items: ItemSample) -> QuerySample:
        if self.queries is None:
            return draw_queries(self.model, self.side, items)
        objects = self.scorer.read_objects(self.query_side, self.queries)
        if not len(objects):
            raise InputError(
                "queries to measure recall with are none: leave them out, or give some"
            )
        return QuerySample(choose_some(objects), "given queries")


def _open_store(
    dimensions: int, key_type: KeyType, directory: Path | None
) -> FileStore | MemoryStore:
    if directory is None:
        return MemoryStore(dimensions, KEY_TYPES[key_type])
    return FileStore(directory, dimensions, KEY_TYPES[key_type])
