"""The best of many candidates."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from o2v_jax.arguments import describe, require_integer
from o2v_jax.data.sequences import FlatSequences, flat
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import Hyperparameters


class Ranking(NamedTuple):
    """Candidates, best first: int64 `[k]` indices and their float32 `[k]` scores."""

    indices: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]


def rank_scores(scores: npt.NDArray[np.float32], k: int) -> Ranking:
    """The k highest of float32 `[n]` scores; of equal ones the earlier first."""
    order = np.argsort(-scores, kind="stable")[:k]
    return Ranking(order, scores[order])


def choose_class(config: Hyperparameters, class_index: int | None) -> int:
    """The column of the scores that ranks.

    Raises:
        InputError: there are several classes and none was chosen, or there is no such class.
    """
    classes = config.outputs
    if class_index is None and classes <= 2:  # noqa: PLR2004 - one value, or yes and no
        return classes - 1
    return require_integer("class_index", class_index, 0, classes - 1)


def flatten_query(query: Any) -> FlatSequences:
    """A single query, ids or encoding (of any array type), as one row.

    Raises:
        InputError: it is neither.
    """
    try:
        return flat([query])
    except InputError as error:
        expected = "the query must be one sequence of token ids, or its encoding"
        raise InputError(f"{expected}, got {describe(query)}") from error


def require_encodings(rows: FlatSequences, enc_dim: int) -> npt.NDArray[np.float32]:
    """Encodings, of any floating-point type, as float32 `[n, enc_dim]`.

    Raises:
        InputError: they have another shape.
    """
    wrong = rows.lengths[rows.lengths != enc_dim]
    if len(wrong):
        raise InputError(f"encodings must be [n, {enc_dim}], but one has {wrong[0]} numbers")
    return rows.values.reshape(-1, enc_dim).astype(np.float32, copy=False)
