"""How well a model ranks: every query among all candidates."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from o2v_jax.arguments import describe, require_choice, require_instance, show
from o2v_jax.checkpoint import Model, check_class_names
from o2v_jax.constants import DType
from o2v_jax.data.labels import describe_label, find_wrong_labels, read_label_values
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.records import Pairs
from o2v_jax.data.text_records import PathOf
from o2v_jax.data.tokenizers import SIDES
from o2v_jax.errors import InputError, RecordError
from o2v_jax.evaluation.evaluation import require_alike, show_object
from o2v_jax.evaluation.ranked_lists import make_lists
from o2v_jax.evaluation.ranking_evaluation import RankingEvaluation
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.scoring import Scorer
from o2v_jax.scoring.inputs import InputReader
from o2v_jax.scoring.ranking import choose_class
from o2v_jax.scoring.relevance import rank_relevant


def evaluate_ranking(
    model: Model | Scorer,
    in0: Any,
    in1: Any,
    labels: Any = None,
    *,
    candidates: Any = None,
    known: tuple[Any, Any] | None = None,
    query_side: Literal[0, 1] = 0,
    class_index: int | None = None,
    dtype: DType | None = None,
) -> RankingEvaluation:
    """Ranks every query among all candidates, and measures where those that belong to it come.

    Each pair says that its in1 is relevant to its in0, the query. Each distinct query is ranked
    among all distinct candidates, which are the in1 of all pairs or a list of their own. Objects
    that the model reads alike, because their ids are equal after the cut at max_seq_len, are one.
    Each is encoded once, and scores are made for a block of queries at a time.

    Args:
        model: what `o2v_jax.load` returns, or a Scorer of it.
        in0: one sequence of token ids a pair, as `Scorer.score` takes them; if the model has
            tokenizers, also one raw value a pair: a list or a column of texts.
        in1: the other side, as many.
        labels: one a pair, a list, an array or a column. A pair is relevant if its label is the
            class that ranks (for two classes 1), and for a model without classes if it is above 0,
            however large: grades count alike. None: all pairs are relevant.
        candidates: what is ranked, objects of the side that in1 is, each at least once; None: those
            of the pairs, relevant or not.
        known: two columns, the in0 and in1 of pairs that are taken out of the lists, as those of
            the training data are where it is new pairs that one looks for. Pairs of other objects
            are ignored, and what is relevant stays in.
        query_side: 0 if the queries are the in0, 1 if they are the in1, among all in0.
        class_index: the class whose probability ranks; 1 if there are two, required if there are
            more, none without classes.
        dtype: as that of `Scorer`, "float32" by default; a Scorer has its own.

    Raises:
        InputError: there are no pairs, none is relevant, `in0`, `in1` and `labels` differ in
            number, there are no candidates, or an argument is of another type.
        RecordError: an id is outside the vocabulary, a tokenizer refuses a value, a label is not
            one of this model, or what is relevant is not among the candidates; says which.

    >>> import o2v_jax
    >>> config = o2v_jax.Hyperparameters(enc0_max_seq_len=8, enc0_vocab_size=50, enc_dim=16,
    ...     enc0_network="pooled_embedding", objective=o2v_jax.InBatchObjective())
    >>> model = o2v_jax.Model(config, o2v_jax.init(config))
    >>> found = o2v_jax.evaluate_ranking(model, [[4, 7], [5]], [[4], [5, 6]])
    >>> found.metrics["candidates"], found.ranks.shape
    (2, (2,))
    """
    scorer = _make_scorer(model, dtype)
    require_choice("query_side", query_side, (0, 1), "0 (in0) or 1 (in1)")
    pairs = _read_pairs(scorer, in0, in1)
    if labels is not None:
        pairs = Pairs(pairs.in0, pairs.in1, read_label_values(labels, scorer.class_names))
    among = None
    if candidates is not None:
        with _name_argument("candidates"):
            among = _read_side(scorer, 1 - query_side, candidates)
    return rank_pairs(
        scorer,
        pairs,
        candidates=among,
        known=None if known is None else _read_known(scorer, known),
        query_side=query_side,
        class_index=class_index,
        place_of=_name_record,
    )


def rank_pairs(
    scorer: Scorer,
    pairs: Pairs,
    *,
    candidates: Ragged | None,
    known: Pairs | None,
    query_side: Literal[0, 1],
    class_index: int | None,
    place_of: PathOf,
) -> RankingEvaluation:
    """As `evaluate_ranking`, of ids that are in the vocabulary and cut at max_seq_len.

    Args:
        scorer: of the model.
        pairs: with labels or without.
        candidates: of the other side than the queries; None: those of the pairs.
        known: pairs that are taken out of the lists.
        query_side: 0 or 1.
        class_index: the class that ranks.
        place_of: says where a path in a record stands, by the record's number, for messages.

    Raises:
        InputError, RecordError: as for `evaluate_ranking`.
    """
    check_class_names(scorer.class_names, scorer.config)
    column = choose_class(scorer.config, class_index)
    given = {} if pairs.labels is None else {"labels": pairs.labels}
    require_alike(in0=pairs.in0, in1=pairs.in1, **given)
    relevant = _find_relevant(pairs, scorer.config, column, place_of)
    if candidates is not None and not len(candidates):
        raise InputError("candidates: there are none to rank")

    def describe_missing(record: int) -> RecordError:
        return _describe_missing(pairs, record, 1 - query_side, scorer, place_of)

    queries, objects = _order_sides(pairs, query_side)
    known_sides = _order_sides(known or Pairs(Ragged.of([]), Ragged.of([])), query_side)
    lists = make_lists(queries, objects, relevant, candidates, known_sides, describe_missing)
    score = scorer.make_query_scorer(
        lists.queries, lists.candidates, query_side=query_side, class_index=class_index
    )
    ranks = rank_relevant(score, lists.relevance, lists.excluded)
    return RankingEvaluation(scorer, query_side, lists, score, ranks)


def _order_sides(pairs: Pairs, query_side: Literal[0, 1]) -> tuple[Ragged, Ragged]:
    """The queries, and the objects of the other side."""
    return pairs.sides[query_side], pairs.sides[1 - query_side]


def _describe_missing(
    pairs: Pairs, record: int, side: int, scorer: Scorer, place_of: PathOf
) -> RecordError:
    text = show(show_object(pairs.sides[side].row(record).tolist(), side, scorer.tokenizers))
    reason = f"{text} is relevant, but it is not among the candidates"
    return RecordError(place_of(record, f".{SIDES[side]}"), reason)


def _make_scorer(model: Model | Scorer, dtype: DType | None) -> Scorer:
    require_instance("model", model, (Model, Scorer), "a Model or a Scorer")
    if isinstance(model, Model):
        return Scorer(model, dtype=dtype or "float32")
    if dtype is not None:
        raise InputError(
            f"dtype={describe(dtype)}: leave it out, for the Scorer computes in its own"
        )
    return model


def _read_side(scorer: Scorer, side: int, rows: Any) -> Ragged:
    """Rows of ids in the vocabulary, cut at max_seq_len."""
    reader = InputReader(scorer.config, scorer.tokenizers)
    return reader.validate(side, reader.read_ids(side, rows))


def _read_pairs(scorer: Scorer, in0: Any, in1: Any) -> Pairs:
    return Pairs(_read_side(scorer, 0, in0), _read_side(scorer, 1, in1))


def _read_known(scorer: Scorer, known: Any) -> Pairs:
    if not isinstance(known, tuple | list) or len(known) != 2:  # noqa: PLR2004 - in0 and in1
        wanted = "(in0, in1), two columns of as many objects"
        raise InputError(f"known must be {wanted}, got {describe(known)}")
    with _name_argument("known"):
        pairs = _read_pairs(scorer, *known)
    if len(pairs.in0) != len(pairs.in1):
        raise InputError(f"known has {len(pairs.in0)} in0 and {len(pairs.in1)} in1")
    return pairs


@contextmanager
def _name_argument(name: str) -> Iterator[None]:
    try:
        yield
    except RecordError as error:
        raise RecordError(f"{name}: {error.where}", error.reason) from error


def _name_record(record: int, path: str) -> str:
    return f"record {record}" if path == ".label" else f"record {record}: {path[1:]}"


def _find_relevant(
    pairs: Pairs, config: Hyperparameters, column: int, place_of: PathOf
) -> npt.NDArray[np.bool_]:
    """Which pairs are relevant, bool `[pairs]`."""
    labels = pairs.labels
    if labels is None:
        return np.ones(len(pairs), np.bool_)
    wrong = find_wrong_labels(labels, config) if config.is_classification else ~np.isfinite(labels)
    if wrong.any():
        at = int(wrong.argmax())
        reason = _describe_label(float(labels[at]), config)
        raise RecordError(place_of(at, ".label"), f"the label {reason}")
    relevant = labels == column if config.is_classification else labels > 0
    if not relevant.any():
        wanted = f"has the label {column}" if config.is_classification else "has a label above 0"
        raise InputError(f"none of the {len(labels):,} pairs {wanted}: there is nothing to find")
    return relevant


def _describe_label(label: float, config: Hyperparameters) -> str:
    if config.is_classification:
        return describe_label(label, config).text
    return f"{label:g} is not a finite number"
