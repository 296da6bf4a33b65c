"""A model's scores beside the labels of the records, from which metrics and reports are made."""

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from o2v_jax.arguments import require_instance, require_integer, require_path
from o2v_jax.array_types import Floats, Index
from o2v_jax.checkpoint import Model, check_class_names
from o2v_jax.checkpoint.summary import summarize_network
from o2v_jax.constants import DType
from o2v_jax.data.labels import read_labels, require_labelled_outputs
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.raw_values import encode_raw_values
from o2v_jax.data.records import LabelValues, Pairs
from o2v_jax.data.tokenizers import Tokenizers
from o2v_jax.errors import InputError
from o2v_jax.evaluation.classification import Classification, classify, find_losses
from o2v_jax.evaluation.regression import Regression, regress
from o2v_jax.evaluation.report import ReportContents, WorstPair, write_report
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.scoring import Scorer

WORST = 20  # pairs that a report shows


def evaluate(
    model: Model, in0: Any, in1: Any, labels: Any, *, dtype: DType = "float32"
) -> "Evaluation":
    """Scores labelled pairs with a model, and compares the scores with the labels.

    Args:
        model: what `o2v_jax.load` returns.
        in0: one sequence of token ids a record, as `Scorer.score` takes them; if the model has
            tokenizers, also one raw value a record: a list or a column of texts.
        in1: the other side, as many.
        labels: one a record, a list, an array or a column: the number of a class or, if the model
            has class names, its name; for regression any number.
        dtype: as that of `Scorer`.

    Raises:
        InputError: there are no records, `in0`, `in1` and `labels` differ in number, an argument is
            of another type, the model gives scores that are not finite, or it has an in-batch
            objective: `evaluate_ranking` says how well it ranks.
        RecordError: an id is outside the vocabulary, a tokenizer refuses a value, or a label is not
            one of this model; says which.

    >>> import o2v_jax
    >>> config = o2v_jax.Hyperparameters(
    ...     enc0_max_seq_len=8, enc0_vocab_size=50, enc_dim=16, mlp_dim=8)
    >>> model = o2v_jax.Model(config, o2v_jax.init(config), class_names=("no", "yes"))
    >>> found = o2v_jax.evaluate(model, [[4, 7], [5]], [[9, 1, 3], [2]], ["yes", 0])
    >>> list(found.metrics)[:3]
    ['cross_entropy', 'accuracy', 'macro_precision']
    """
    require_instance("model", model, Model, "a Model")
    require_labelled_outputs(model.config)
    check_class_names(model.class_names, model.config)
    scorer = Scorer(model, dtype=dtype)
    values = read_labels(labels, model.config, model.class_names)
    first, second = (
        Ragged.of(encode_raw_values(rows, side, model.tokenizers))
        for side, rows in enumerate((in0, in1))
    )
    pairs = Pairs(first, second, values)
    require_alike(in0=first, in1=second, labels=values)
    scores = scorer.score(*pairs.sides)
    _require_finite(scores)
    return Evaluation(model, pairs, scores, dtype)


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """What a model reaches on labelled records.

    Attributes:
        model: the model.
        pairs: token ids of both sides, and the labels as float64 `[records]`.
        scores: the model's, float32 `[records, num_classes]` probabilities, or `[records, 1]`.
        dtype: what the encoders computed in.
    """

    model: Model
    pairs: Pairs
    scores: Floats
    dtype: DType = "float32"

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        """The metrics, a line each."""
        metrics = self.metrics.items()
        figures = (f"{name} {value:.4g}" for name, value in metrics if value is not None)
        return "\n  ".join([f"Evaluation of {len(self):,} records", *figures])

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics of all records by name; None where one is not defined.

        For classification `cross_entropy` (in nats), `accuracy`, `macro_precision`,
        `macro_recall`, `macro_f1` and `expected_calibration_error`; for regression
        `mean_squared_error`, `root_mean_squared_error`, `mean_absolute_error`, `mean_residual`
        (prediction minus label), `r2`, `pearson` and `spearman`.
        """
        return {name: estimate.value for name, estimate in self.figures.metrics.items()}

    @property
    def is_classification(self) -> bool:
        """Whether the model chooses among classes."""
        return self.model.config.is_classification

    @property
    def labels(self) -> LabelValues:
        """The right classes or values, float64 `[records]`."""
        assert self.pairs.labels is not None  # noqa: S101 - `evaluate` has read them
        return self.pairs.labels

    @property
    def class_names(self) -> list[str]:
        """What the classes are called: their numbers where the model has no names."""
        return list(self.model.class_names) or [*map(str, range(self.model.config.num_classes))]

    @cached_property
    def figures(self) -> Classification | Regression:
        """All figures with their 95 % intervals."""
        if self.is_classification:
            return classify(self.scores, self._classes, self.class_names)
        return regress(self._predicted, self.labels)

    def list_worst(self, count: int = WORST) -> list[WorstPair]:
        """The pairs that the model gets most wrong, the worst first.

        For classification those whose right class got the lowest probability; for regression those
        of the largest difference. Tokens are those that the model saw, after the cut at its
        max_seq_len.
        """
        badness = (
            find_losses(self.scores, self._classes)
            if self.is_classification
            else np.abs(self._predicted - self.labels)
        )
        count = require_integer("count", count, 0)
        order = np.argsort(-badness, kind="stable")[:count]
        return [self._describe(record) for record in order.tolist()]

    def write(self, folder: str | Path, *, about: Mapping[str, str] | None = None) -> Path:
        """Writes a report: `report.html`, which needs no other file, `report.json` and plots.

        All of it appears in one step; an earlier report is replaced.

        Args:
            folder: a new name, an empty folder or an earlier report.
            about: what the head of the page says beside the figures, such as the name of the data.

        Returns:
            The page's path.

        Raises:
            MissingExtraError: what draws the plots and the page is not installed.
            InputError: the folder holds other things, or cannot be written.
        """
        return write_report(require_path("folder", folder), self.make_contents(about or {}))

    def make_contents(self, about: Mapping[str, str]) -> ReportContents:
        """The contents of the report that `write` writes."""
        return ReportContents(
            {**describe_model(self.model.config, self.dtype), **about},
            self.figures,
            self.list_worst(),
            self.labels,
            None if self.is_classification else self._predicted,
        )

    @property
    def _classes(self) -> Index:
        return self.labels.astype(np.int64)

    @property
    def _predicted(self) -> LabelValues:
        return self.scores[:, 0].astype(np.float64)

    def _describe(self, record: int) -> WorstPair:
        in0, in1 = (self._read_side(side, record) for side in (0, 1))
        if not self.is_classification:
            label, predicted = float(self.labels[record]), float(self.scores[record, 0])
            return WorstPair(record, in0, in1, label, predicted, predicted - label)
        label, predicted = int(self._classes[record]), int(self.scores[record].argmax())
        names, probability = self.class_names, float(self.scores[record, label])
        return WorstPair(record, in0, in1, names[label], names[predicted], probability)

    def _read_side(self, side: int, record: int) -> str:
        longest = self.model.config.encoder(side).max_seq_len
        ids = self.pairs.sides[side].row(record)[:longest].tolist()
        return show_object(ids, side, self.model.tokenizers)


def show_object(ids: list[int], side: int, tokenizers: Tokenizers | None) -> str:
    """An object as the model reads it: as text, or its ids where there are no tokenizers."""
    return " ".join(map(str, ids)) if tokenizers is None else tokenizers[side].decode(ids)


def describe_model(config: Hyperparameters, dtype: DType) -> dict[str, str]:
    """What computes the scores, by name, for the head of a report."""
    names = ("encoder of in0", "encoder of in1", "head")
    lines = zip(names, summarize_network(config), strict=True)
    found = {name: line.partition(": ")[2] or line for name, line in lines}
    return {**found, "computed in": dtype}


def require_alike(**given: Sized) -> None:
    """Checks that records have as many in0 as in1 and labels, and that there is one.

    Raises:
        InputError: they differ in number, or are empty; it names them.
    """
    counts = {name: len(values) for name, values in given.items()}
    if len(set(counts.values())) > 1:
        *others, last = counts
        listed = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise InputError(f"{', '.join(others)} and {last} must be equally many, but {listed}")
    if not any(counts.values()):
        raise InputError("there are no records to evaluate")


def _require_finite(scores: Floats) -> None:
    wrong = ~np.isfinite(scores).all(axis=1)
    if wrong.any():
        reason = "its parameters are not finite, or too large"
        raise InputError(f"record {int(wrong.argmax())}: the model gives no finite score: {reason}")
