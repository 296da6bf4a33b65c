"""The best of many candidates."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import Hyperparameters


class Ranking(NamedTuple):
    """Candidates, best first: int64 `[k]` indices and their float32 `[k]` scores."""

    indices: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]


def best(scores: npt.NDArray[np.float32], k: int) -> Ranking:
    """The k highest of float32 `[n]` scores; of equal ones the earlier first.

    Raises:
        InputError: k is less than 1.
    """
    if k < 1:
        raise InputError(f"k must be at least 1, got {k}")
    order = np.argsort(-scores, kind="stable")[:k]
    return Ranking(order, scores[order])


def in_class(config: Hyperparameters, class_index: int | None) -> int:
    """The column of the scores that ranks.

    Raises:
        InputError: there are several classes and none was chosen, or there is no such class.
    """
    classes = config.outputs
    if class_index is None and classes <= 2:  # noqa: PLR2004 - one value, or yes and no
        return classes - 1
    if class_index is None or not 0 <= class_index < classes:
        raise InputError(f"rank needs a class_index in 0..{classes - 1}, got {class_index}")
    return class_index


def one_query(query: Any) -> Any:
    """A single query, ids or encoding (of any array type), as one row.

    Raises:
        InputError: it is neither.
    """
    array = np.asarray(query)
    if array.ndim != 1:
        raise InputError("the query must be one sequence of token ids, or its encoding")
    return array[None] if array.dtype.kind == "f" and array.size else [array.tolist()]


def as_encodings(rows: Any, enc_dim: int) -> npt.NDArray[np.float32] | None:
    """Encodings as float32 `[n, enc_dim]`, of an array or a list of vectors; None if rows are ids.

    Raises:
        InputError: they have another shape.
    """
    sample = rows[0] if isinstance(rows, Sequence) and len(rows) else rows
    if np.dtype(getattr(sample, "dtype", np.int32)).kind != "f":
        return None
    encodings = np.asarray(rows, np.float32)
    if encodings.shape[1:] != (enc_dim,):
        raise InputError(f"encodings must be [n, {enc_dim}], but these are {encodings.shape}")
    return encodings
