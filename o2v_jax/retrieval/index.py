"""An index: items, encoded once, that queries search."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa

from o2v_jax.arguments import (
    describe,
    require_choice,
    require_instance,
    require_integer,
    require_path,
)
from o2v_jax.array_types import Floats
from o2v_jax.array_types import Index as Positions
from o2v_jax.checkpoint import Model, hash_model
from o2v_jax.errors import CheckpointError, InputError
from o2v_jax.retrieval.approximate import Graph
from o2v_jax.retrieval.build import Builder
from o2v_jax.retrieval.exact import NONE_EXCLUDED, Excluded, Top
from o2v_jax.retrieval.files import (
    IndexInfo,
    Recall,
    StoredIndex,
    check_index_target,
    read_index,
)
from o2v_jax.retrieval.items import ItemSlice, ItemTable, Side, slice_items
from o2v_jax.retrieval.keys import Key, Keys, KeyType, read_keys
from o2v_jax.retrieval.searcher import Searcher
from o2v_jax.scoring import Scorer, choose_class

CANDIDATES = 200
_ITEMS_AT_A_TIME = 4096
_WAYS = {
    "cosine": "the cosine of two encodings",
    "inner_product": "the inner product of two encodings",
    "linear": "the model's linear head",
    "reranked": "the model's head",
}


class Hits(NamedTuple):
    """What one query found, best first.

    Attributes:
        keys: of the items, texts or integers.
        scores: float32 `[hits]`, as `Scorer.rank` gives them.
        positions: int64 `[hits]`, the items' numbers in the order in which they were indexed.
    """

    keys: list[Key]
    scores: Floats
    positions: Positions


class Index:
    """Items of one side of a model, encoded once, that queries of the other side search.

    What a search finds is what `Scorer.rank` puts first. How it does follows from the model. After
    in-batch training, and by a linear head (`mlp_activation` linear or no MLP, without abs_diff, a
    value or two classes), it is exact. Any other head is asked about the most promising items
    alone; and an approximate index looks at a part of the items. `recall` then says how much
    such searches find.

    Made by `Index.build` and `Index.load`. Safe to search from several
    threads.

    Attributes:
        info: what the index is, as its index.json says.
        path: its directory; None: it is in memory.

    >>> import o2v_jax
    >>> config = o2v_jax.Hyperparameters(
    ...     enc0_max_seq_len=8, enc0_vocab_size=50, enc_dim=16, comparator_list="hadamard")
    >>> model = o2v_jax.Model(config, o2v_jax.init(config))
    >>> index = Index.build(model, [[9], [1, 3], [2]], keys=["nine", "one", "two"])
    >>> (hits,) = index.search([[4, 7]], k=2, exclude=["one"])
    >>> sorted(hits.keys), len(hits.scores)
    (['nine', 'two'], 2)
    """

    def __init__(
        self, info: IndexInfo, searcher: Searcher, keys: pa.ChunkedArray, path: Path | None
    ) -> None:
        self.info = info
        self.path = path
        self._searcher = searcher
        self._keys = Keys(keys)

    @classmethod
    def build(
        cls,
        model: Model,
        items: Any,
        *,
        side: Side = "in1",
        keys: Any = None,
        output: str | Path | None = None,
        approximate: bool = False,
        class_index: int | None = None,
        candidates: int = CANDIDATES,
        queries: Any = None,
        scorer: Scorer | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> "Index":
        """Encodes items, and measures how much searches find.

        Args:
            model: what `o2v_jax.load` returns.
            items: sequences of token ids, raw values if the model has tokenizers, or encodings
                `[n, enc_dim]`, as `Scorer.embed` gives them; or an `ItemTable`, which is read a
                few thousand rows at a time and may exceed the memory.
            side: of the items: "in0" or "in1". Queries are of the other.
            keys: as many texts or integers, each another; None: those of the table, else the items'
                numbers from 0.
            output: a directory to write, or an index to replace in one step; None: memory.
            approximate: searches look at a part of the items, by a graph (extra `search`).
            class_index: the class whose probability ranks, as for `Scorer.rank`.
            candidates: how many items at least the head is asked about, where it is no inner
                product.
            queries: objects of the other side to measure recall with, such as real queries; None:
                some of the items where both sides have one vocabulary, else random ids.
            scorer: one of this model, to encode with; None: a new one.
            on_progress: called with the number of items that were encoded, each time.

        Raises:
            InputError: an argument is none of these, there are no items, or a file cannot be read
                or lacks a column.
            RecordError: an item is empty or wrong, as for `Scorer.score`; a key of a table is empty
                or occurs twice; or an encoding holds NaN. Says which, or names the file and row.
            CheckpointError: `output` holds something else, or cannot be written.
            MissingExtraError: the index is to be approximate, and usearch is not installed.
        """
        require_choice("side", side, get_args(Side), "in0 or in1")
        require_instance("approximate", approximate, bool, "True or False")
        builder = Builder(
            model=model,
            scorer=_require_scorer(model, scorer),
            side=1 if side == "in1" else 0,
            class_index=choose_class(model.config, class_index),
            approximate=approximate,
            candidates=require_integer("candidates", candidates, 1),
            queries=queries,
            on_progress=on_progress,
        )
        path = None if output is None else require_path("output", output)
        if path is not None:
            check_index_target(path)
        return cls(*builder.build(*_read_items(builder, items, keys), path), path)

    @classmethod
    def load(
        cls,
        path: str | Path,
        model: Model,
        *,
        scorer: Scorer | None = None,
        verify: bool = True,
    ) -> "Index":
        """Opens an index that was written. Its vectors stay on the disk until they are searched.

        Args:
            path: the directory.
            model: the model that the index was built with.
            scorer: one of that model, to encode queries with; None: a new one.
            verify: whether to read every file whole and compare its SHA-256; otherwise only sizes
                are checked, which takes no time.

        Raises:
            InputError: an argument is of another type, or the path is a URL.
            CheckpointError: with every problem found: it is not an index or one of another model,
                or a file is missing, cut off or altered.
            MissingExtraError: the index is approximate, and usearch is not installed.
        """
        path = require_path("path", path)
        require_instance("verify", verify, bool, "True or False")
        scorer = _require_scorer(model, scorer)
        stored = read_index(path, hash_model(model), verify=verify)
        graph = _open_graph(path, stored)
        try:
            searcher = Searcher(model, scorer, stored.info, stored.vectors, graph)
        except InputError as error:
            raise CheckpointError(path, [f"index.json is wrong: {error}"]) from error
        return cls(stored.info, searcher, stored.keys, path)

    def __len__(self) -> int:
        """How many items there are."""
        return self.info.count

    def __repr__(self) -> str:
        """A few lines: what is indexed, how it is ranked, and what a search finds."""
        info = self.info
        size = self._searcher.vectors.nbytes / 1e6
        of_some = f", asked about {info.candidates} candidates" if info.candidates else ""
        encoded = "" if info.dtype == "float32" else f", encoded in {info.dtype}"
        lines = [
            f"Index of {info.count:,} items ({info.side}), {self.path or 'in memory'}",
            f"{info.dimensions} numbers a vector ({size:,.1f} MB), {info.key_type} keys{encoded}",
            f"ranked by {_WAYS[info.metric]}{of_some}",
            describe_search(info),
        ]
        return "\n  ".join(lines)

    @property
    def query_side(self) -> Literal[0, 1]:
        """0 if queries are in0, 1 if they are in1."""
        return self._searcher.query_side

    @property
    def recall(self) -> Recall | None:
        """How much of the first 10 of a full ranking a search finds; None: all."""
        return self.info.recall

    def find(self, keys: Any) -> Positions:
        """The positions of keys, int64 `[keys]`. The first call makes a table of 16 bytes an item.

        Args:
            keys: a list of texts or integers. An integer is taken for the text of it where keys are
                texts, and a text for the integer where they are integers.

        Raises:
            InputError: it is something else, or the index has no such key; says which.
        """
        if not _is_list(keys):
            raise InputError(f"keys={describe(keys)} must be a list of keys")
        return self._keys.find(keys)

    def search(self, queries: Any, k: int = 10, *, exclude: Any = None) -> list[Hits]:
        """The k best items for each query.

        Args:
            queries: objects of the other side: sequences of token ids, raw values if the model has
                tokenizers, or encodings `[n, enc_dim]`. Many at once take much less time each.
            k: how many items a query; all, if there are fewer.
            exclude: keys of items to leave out, as `find` takes them: a list for all queries, or a
                list of lists, one a query.

        Returns:
            One `Hits` a query. Items of equal scores keep their order, and an item whose score is
            not a number is not among them.

        Raises:
            InputError: an argument is none of these, k is less than 1, or there is no such key.
            RecordError: a query is empty or its encoding is not finite, or as for `Scorer.score`;
                says which.
        """
        k = min(require_integer("k", k, 1), len(self))
        if isinstance(queries, str):
            raise InputError(f"queries={describe(queries)} must be a list of queries, even of one")
        encodings = self._searcher.encode_queries(queries)
        excluded = self._find_excluded(exclude, len(encodings))
        return [*self.iterate_hits(*self._searcher.search(encodings, k, excluded))]

    def search_encodings(
        self, encodings: Floats, ks: Positions, excluded: Sequence[Positions]
    ) -> Top:
        """What `search` finds for each query alone, with a k and exclusions of its own.

        A server searches so for several requests at once. Nothing is checked.

        Args:
            encodings: of the queries, float32 `[queries, enc_dim]`, as the model gives them.
            ks: int64 `[queries]`, at least 1 each.
            excluded: positions that each query leaves out, none twice.

        Returns:
            Positions and scores `[queries, largest k]`, with positions of -1 after a query's last.
            A query whose encoding is not finite finds nothing of use.
        """
        return self._searcher.search(encodings, ks, Excluded.of(excluded))

    def iterate_hits(self, positions: Positions, scores: Floats) -> Iterator[Hits]:
        """The hits of each query, of what `search_encodings` returns."""
        counts = np.count_nonzero(positions >= 0, axis=1).tolist()
        for found, its_scores, count in zip(positions, scores, counts, strict=True):
            yield Hits(self._keys.take(found[:count]), its_scores[:count], found[:count])

    def warm(self) -> None:
        """Does what the first search and the first `find` would else take longer for."""
        self._keys.find([])
        encodings = np.ones((1, self.info.dimensions), np.float32)
        self._searcher.search(encodings, 1)

    def _find_excluded(self, exclude: Any, queries: int) -> Excluded:
        """What each query leaves out."""
        if exclude is None:
            return NONE_EXCLUDED
        if not _is_list(exclude):
            raise InputError(f"exclude={describe(exclude)} must be a list of keys, or one a query")
        nested = [_is_list(item) for item in exclude]
        if not any(nested):
            return Excluded.of([np.unique(self._keys.find(exclude))] * queries)
        if not all(nested) or len(exclude) != queries:
            ways = "give one list of keys for all, or one list a query"
            raise InputError(f"exclude has {len(exclude)} entries for {queries} queries: {ways}")
        return Excluded.of([np.unique(self._keys.find(keys)) for keys in exclude])


def describe_search(info: IndexInfo) -> str:
    """How an index is searched, and how much of a full ranking that finds."""
    way = (
        f"searched by a graph (expansion {info.expansion})" if info.expansion else "searched whole"
    )
    if info.recall is None:
        return f"{way}: finds all"
    share = f"finds {100 * info.recall.at_10:.1f} % of the first 10 of a full ranking"
    return f"{way}: {share} ({info.recall.queries} queries: {info.recall.source})"


def _is_list(value: Any) -> bool:
    return not isinstance(value, str | int | bytes) and isinstance(value, Sequence | np.ndarray)


def _open_graph(path: Path, stored: StoredIndex) -> Graph | None:
    if stored.graph is None:
        return None
    try:
        return Graph.view(stored.graph, stored.vectors, stored.info.expansion)
    except InputError as error:
        raise CheckpointError(path, [f"{stored.graph.name} {error}"]) from error


def _require_scorer(model: Any, scorer: Any) -> Scorer:
    """The given scorer, which must be of this model as far as one can see, or a new one."""
    require_instance("model", model, Model, "a Model, as `o2v_jax.load` returns")
    require_instance("scorer", scorer, (Scorer, type(None)), "a Scorer, or None for a new one")
    if scorer is not None and scorer.config != model.config:
        raise InputError("scorer is of another model")
    return scorer or Scorer(model)


def _read_items(builder: Builder, items: Any, keys: Any) -> tuple[KeyType, Iterator[ItemSlice]]:
    """The type of the keys, and the items."""
    if isinstance(items, ItemTable):
        if keys is not None:
            raise InputError("keys are those of the table: leave them out")
        items.check_keys()
        slices = items.read(builder.side, builder.model)
        return ("int64" if items.key is None else "text"), slices
    given = None if keys is None else read_keys(keys)
    objects = builder.read_items(items)
    if given is None:
        given = pa.array(range(len(objects)), pa.int64())
    if len(given) != len(objects):
        raise InputError(f"there are {len(objects)} items, but {len(given)} keys")
    key_type: KeyType = "text" if pa.types.is_string(given.type) else "int64"
    return key_type, slice_items(objects, given, _ITEMS_AT_A_TIME)
