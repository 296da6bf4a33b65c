"""The best of many candidates."""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from o2v_jax.arguments import require_integer
from o2v_jax.array_types import Floats, Index
from o2v_jax.data.ragged import Ragged
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.scoring.executor import Executor
from o2v_jax.scoring.inputs import InputReader


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


def score_candidates(
    executor: Executor,
    inputs: InputReader,
    side: Literal[0, 1],
    query: Ragged | Floats,
    candidates: Ragged | Floats,
) -> Floats:
    """Scores of one query beside each candidate, float32 `[candidates, outputs]`.

    Args:
        executor: computes.
        inputs: validates ids.
        side: of the query; the candidates are of the other.
        query: one row of ids, or its encoding.
        candidates: rows of ids, or encodings.

    Raises:
        RecordError: an id is outside the vocabulary.
    """
    if isinstance(query, Ragged) and isinstance(candidates, Ragged):
        repeated = query.take(np.zeros(len(candidates), np.int64))
        sides = (repeated, candidates) if side == 0 else (candidates, repeated)
        return executor.score(*(inputs.validate(at, rows) for at, rows in enumerate(sides)))
    one, row = _encode(executor, inputs, side, query)
    many, rows = _encode(executor, inputs, 1 - side, candidates)
    repeated_row = np.repeat(row, len(rows))
    if side == 0:
        return executor.compare(one, repeated_row, many, rows)
    return executor.compare(many, rows, one, repeated_row)


def _encode(
    executor: Executor, inputs: InputReader, side: int, rows: Ragged | Floats
) -> tuple[Floats, Index]:
    """Encodings and each object's row in them, computed or taken as given."""
    if isinstance(rows, Ragged):
        return executor.encode(side, inputs.validate(side, rows))
    return rows, np.arange(len(rows))
