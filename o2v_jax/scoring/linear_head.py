"""Heads that are linear in each encoding: a score is an inner product with a transformed query."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from o2v_jax.array_types import Floats
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import Params


@dataclass(frozen=True, eq=False)
class LinearHead:
    """The logit `transform(query) @ candidate + shift(query)`, or the log-odds of two classes.

    The log-odds order candidates as the second class's probability does, and tell apart those whose
    probabilities float32 rounds to the same number.

    Attributes:
        product: float32 `[enc_dim]`, the weights of the product of both encodings.
        query: float32 `[enc_dim]`, the weights of the query's encoding alone.
        candidate: float32 `[enc_dim]`, the weights of the candidate's encoding alone.
        bias: is added.
    """

    product: Floats
    query: Floats
    candidate: Floats
    bias: np.float32

    def transform(self, queries: Floats) -> Floats:
        """The vectors that candidates are multiplied with, `[queries, enc_dim]`."""
        return queries * self.product + self.candidate

    def shift(self, queries: Floats) -> Floats:
        """What is added to all scores of each query, `[queries]`."""
        shift: Floats = queries @ self.query + self.bias
        return shift


def find_linear_head(
    config: Hyperparameters, params: Params, query_side: Literal[0, 1], column: int
) -> LinearHead | None:
    """The linear form of a folded head; None where it has none.

    It has one without an MLP, without abs_diff, and with at most two outputs: a class's probability
    among more is not monotonic in a linear function.

    Args:
        config: what `o2v_jax.scoring.folding.fold_head` returns.
        params: likewise.
        query_side: 0 if queries are in0, 1 if they are in1.
        column: of the outputs, the one that ranks.
    """
    is_linear = not config.mlp_layers and "abs_diff" not in config.comparator_list
    if config.objective is not None or not is_linear or config.outputs > 2:  # noqa: PLR2004
        return None
    weight, bias = (np.asarray(params["output_layer"][name]) for name in ("weight", "bias"))
    if config.outputs > 1:  # two classes
        weight, bias = (
            weight[:, [column]] - weight[:, [1 - column]],
            bias[[column]] - bias[[1 - column]],
        )
    return _split_weights(config, weight[:, 0], bias[0], query_side)


def _split_weights(
    config: Hyperparameters, weight: Floats, bias: np.float32, query_side: Literal[0, 1]
) -> LinearHead:
    """The weights by what they are multiplied with; `weight` is in the comparators' order."""
    parts = iter(weight.reshape(-1, config.enc_dim))
    product, in0, in1 = np.zeros((3, config.enc_dim), np.float32)
    for name in config.comparator_list:
        if name == "hadamard":
            product += next(parts)
        else:  # concat
            in0 += next(parts)
            in1 += next(parts)
    query, candidate = (in0, in1) if query_side == 0 else (in1, in0)
    return LinearHead(product, query, candidate, bias)
