"""Recall: how much of what a full ranking puts first a search finds."""

import numpy as np

from o2v_jax.retrieval.exact import Top

DEPTH = 10
_MAX_PAIRS = 5_000_000  # that a full ranking by a head compares
_MIN_QUERIES = 10


def count_affordable_queries(items: int) -> int:
    """How many queries are worth a full ranking by the head."""
    return max(_MIN_QUERIES, _MAX_PAIRS // max(1, items))


def compute_recall(found: Top, right: Top) -> float:
    """The mean share of the right items that were found, or of others with scores as high.

    Args:
        found: of a search, `[queries, k]`.
        right: of a full ranking, `[queries, k]`.
    """
    pairs = zip(found.positions, found.products, right.positions, right.products, strict=True)
    shares = [_find_share(Top(*pair[:2]), Top(*pair[2:])) for pair in pairs]
    return float(np.mean(shares)) if shares else 1.0


def _find_share(found: Top, right: Top) -> float:
    """Of one query."""
    there = right.positions >= 0
    least = np.min(right.products[there], initial=np.inf)
    is_right = np.isin(found.positions, right.positions[there]) | (found.products >= least)
    count = np.count_nonzero(is_right & (found.positions >= 0))
    return min(1.0, int(count) / max(1, int(np.count_nonzero(there))))
