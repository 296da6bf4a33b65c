"""The metric of an index follows from the model: inner products that order items as scores do.

- In-batch objective: the cosine or the inner product of two encodings is the score itself.
- A linear head: the score is an inner product with a transformed query (`LinearHead`). Of two
  classes it is the log-odds, in whose order the probabilities are too.
- Any other head: see `surrogate`.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np

from o2v_jax.array_types import Floats
from o2v_jax.checkpoint import Model
from o2v_jax.hyperparameters import Similarity
from o2v_jax.scoring.folding import fold_head
from o2v_jax.scoring.linear_head import LinearHead, find_linear_head
from o2v_jax.scoring.query_scores import normalize_rows

MetricName: TypeAlias = Literal["cosine", "inner_product", "linear", "reranked"]


class Metric(Protocol):
    """Makes vectors and queries of encodings, all float32 `[n, enc_dim]`."""

    @property
    def name(self) -> MetricName:
        """What index.json calls it."""

    def make_queries(self, encodings: Floats) -> Floats:
        """What is multiplied with vectors."""


class ExactMetric(Metric, Protocol):
    """A metric whose order is that of the scores."""

    def make_vectors(self, encodings: Floats) -> Floats:
        """What is stored of items."""

    def make_scores(self, products: Floats, encodings: Floats) -> Floats:
        """The model's scores.

        Args:
            products: inner products, float32 `[queries, k]`.
            encodings: of the queries, float32 `[queries, enc_dim]`.
        """


@dataclass(frozen=True)
class SimilarityMetric:
    """The cosine or the inner product of two encodings."""

    name: Similarity

    def make_vectors(self, encodings: Floats) -> Floats:
        """Encodings, of length 1 for the cosine."""
        return normalize_rows(encodings) if self.name == "cosine" else encodings

    def make_queries(self, encodings: Floats) -> Floats:
        """As `make_vectors`."""
        return self.make_vectors(encodings)

    def make_scores(self, products: Floats, encodings: Floats) -> Floats:  # noqa: ARG002
        """The products themselves."""
        return products


@dataclass(frozen=True, eq=False)
class LinearMetric:
    """A linear head, which gives a value, or the log-odds of the class that ranks."""

    head: LinearHead
    is_log_odds: bool
    name: Literal["linear"] = "linear"

    def make_vectors(self, encodings: Floats) -> Floats:
        """Encodings as they are."""
        return encodings

    def make_queries(self, encodings: Floats) -> Floats:
        """The vectors that the head multiplies items with."""
        return self.head.transform(encodings)

    def make_scores(self, products: Floats, encodings: Floats) -> Floats:
        """Values, or probabilities."""
        values = products.astype(np.float64) + self.head.shift(encodings)[:, None]
        if self.is_log_odds:
            decay = np.exp(-np.abs(values))  # of either sign, without an overflow
            values = np.where(values > 0, 1, decay) / (1 + decay)
        scores: Floats = values.astype(np.float32)
        return scores


def find_exact_metric(
    model: Model, query_side: Literal[0, 1], class_index: int
) -> ExactMetric | None:
    """The metric in which items are ordered exactly as their scores are; None: there is none.

    Args:
        model: whose scores they are.
        query_side: 0 if queries are in0 and items in1, 1 the other way round.
        class_index: the column of the scores that ranks.
    """
    config = model.config
    if config.objective is not None:
        return SimilarityMetric(config.objective.similarity)
    head = find_linear_head(*fold_head(config, model.params["head"]), query_side, class_index)
    return None if head is None else LinearMetric(head, config.is_classification)
