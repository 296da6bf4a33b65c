"""Retrieval: items encoded once, and searched by queries.

`metric` says what an inner product of stored vectors is for a model, `surrogate` what stands in for
a head that is none; `exact` and `approximate` find the largest ones; `items` and `keys` are what is
indexed, `files` how that lies on the disk, and `build` and `index` put these together.
"""

from o2v_jax.extras import require_extra

require_extra("data", __name__, "pyarrow")

from o2v_jax.preparation.read.tables import Layout
from o2v_jax.retrieval.files import IndexInfo, Recall
from o2v_jax.retrieval.index import Hits, Index
from o2v_jax.retrieval.items import ItemTable

__all__ = ["Hits", "Index", "IndexInfo", "ItemTable", "Layout", "Recall"]
