"""Training from Python: a table in memory in, a model with its history out."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import pyarrow as pa

from o2v_jax.arguments import (
    describe,
    describe_call,
    require_choice,
    require_instance,
    require_integer,
    require_path,
)
from o2v_jax.checkpoint import Model, check_class_names, check_model_target, check_tokenizers, save
from o2v_jax.data.tokenizers import KINDS, LARGEST_ID, SIDES, Kind
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import (
    Hyperparameters,
    InBatchObjective,
    OutputLayer,
    warn_of_unused,
)
from o2v_jax.preparation import (
    ALGORITHMS,
    Algorithm,
    LabelColumn,
    PreparedTables,
    Side,
    SkippedRows,
    infer_kind,
    overrule,
    prepare_tables,
)
from o2v_jax.training.data.in_memory import make_dataset
from o2v_jax.training.data.pretrained import read_pretrained
from o2v_jax.training.loop.progress import ChannelMetrics
from o2v_jax.training.loop.run import Run
from o2v_jax.training.loop.trained_model import make_model
from o2v_jax.training.optim.placement import choose_placement
from o2v_jax.training.report.card import check_license
from o2v_jax.training.report.metric_lines import Reporter, make_silent_reporter
from o2v_jax.training.table_parts import (
    GivenColumns,
    list_negatives,
    name_negatives,
    read_parts,
)

LARGEST_SEED = 2**63 - 1  # what JAX takes for a seed

Callback: TypeAlias = Callable[[int, ChannelMetrics], object]

_log = logging.getLogger("o2v_jax")


def train(
    table: Any = None,
    *,
    in0: Any,
    in1: Any,
    label: Any = None,
    negatives: Any = (),
    kinds: Kind | tuple[Kind | None, Kind | None] | None = None,
    tokenizer: Algorithm | None = None,
    classes: Sequence[str] = (),
    shared_vocabulary: bool = False,
    vocab_size: int | None = None,
    min_count: int = 1,
    validation: Any = 0.1,
    test: Any = 0.0,
    hyperparameters: Mapping[str, Any] | None = None,
    objective: InBatchObjective | None = None,
    auxiliary: str | PathLike[str] | None = None,
    seed: int = 0,
    devices: int | None = None,
    callbacks: Iterable[Callback] = (),
    on_error: Literal["fail", "skip"] = "fail",
    verbose: bool = False,
    output: str | PathLike[str] | None = None,
    license_id: str = "",
) -> Model:
    """Trains a model on a table of pairs; returns that of the best epoch, with its history.

    The same rows, settings and seed give the same parameters as `o2v prepare` and `o2v train`.
    Nothing is printed and no file is written unless `verbose` or `output` asks for it; warnings,
    such as of a class that has no row, are logged. Ctrl-C ends the training: once an epoch is done,
    the best one so far is returned.

    Args:
        table: a DataFrame (pandas, polars, whatever narwhals reads), an Arrow table, or a mapping
            from names to columns. None: `in0`, `in1` and `label` are the columns themselves:
            series, lists, arrays, or `Ragged`.
        in0: the column of in0.
        in1: the column of in1.
        label: the column of labels, numbers or names; None: every pair is a positive, with label 1,
            for training with a negative_sampling_rate or an objective.
        negatives: columns of hard negatives, for an objective: in1 that are known to be wrong for
            the in0 of their row. Of a table a name or several in a list, otherwise columns in a
            list. They are read as in1 is: a cell holds one, or of texts and values a list of any
            number; an empty cell holds none.
        kinds: what in0 and in1 hold, one kind for both or a pair; see `o2v_jax.Tokenizer`. None
            follows from a column's type: lists of integers are "ids", lists of texts "tokens",
            texts "text", and anything else, such as integers and categories, is "value".
        tokenizer: what splits texts: "word", the default, "bpe", "wordpiece" or "treebank".
        classes: the names of the classes 0, 1, 2 ...; default those in `label`, sorted.
        shared_vocabulary: whether in0 and in1 have one vocabulary and one token table.
        vocab_size: the number of ids of each side at most, those of padding and unknown tokens
            included; the most frequent tokens are kept.
        min_count: a token gets an id if it occurs this often in the training part.
        validation: the share of the rows, drawn at random, that early stopping looks at; or a table
            of its own, with the same columns (of negatives none are needed). Without `table` a
            tuple (in0, in1, label).
        test: the same for the metrics at the end.
        hyperparameters: by name; they overrule what follows from the data.
        objective: `o2v_jax.InBatchObjective(...)` trains for retrieval, on pairs that belong
            together; None: the loss on labelled pairs.
        auxiliary: the directory of the files that hyperparameters name, such as word vectors.
        seed: decides the split, the initial values, the order of the rows and the dropout.
        devices: how many devices share the training; default all.
        callbacks: each is called after every epoch with its number, from 0, and its metrics by
            channel and name. If one returns True, training ends there.
        on_error: "fail" raises for the first bad row; "skip" leaves bad rows out and logs how many.
        verbose: whether to print progress and metrics.
        output: a directory to save the model to.
        license_id: of the model, for its card, such as "apache-2.0".

    Raises:
        InputError: an argument is wrong, a column is missing, or a part has no rows.
        RecordError: names the row, counted from 0, and the column of the first bad row.
        HyperparameterError: a hyperparameter is wrong; it holds every problem.
        CheckpointError: `output` cannot be written.
        KeyboardInterrupt: Ctrl-C arrived before an epoch was done.

    >>> import o2v_jax
    >>> table = {"user": ["ann", "bob"] * 8, "film": [1, 1, 2, 2] * 4, "stars": [5, 1, 2, 4] * 4}
    >>> model = o2v_jax.train(
    ...     table, in0="user", in1="film", label="stars", kinds="value", validation=0,
    ...     hyperparameters={"output_layer": "mean_squared_error", "epochs": 1, "enc_dim": 8},
    ... )
    >>> o2v_jax.Scorer(model).score(["ann"], ["2"]).shape, len(model.history)
    ((1, 1), 1)
    """
    command = describe_call("o2v_jax.train", train, locals())
    given = {} if hyperparameters is None else hyperparameters
    _check(given, callbacks, on_error, output, license_id)
    _check_columns(label, classes, shared_vocabulary, verbose)
    seed = require_integer("seed", seed, 0, LARGEST_SEED)
    if devices is not None:
        devices = require_integer("devices", devices, 1)
    if auxiliary is not None:
        auxiliary = require_path("auxiliary", auxiliary)
    callbacks = tuple(callbacks)
    columns = GivenColumns(in0, in1, label, list_negatives(table, negatives))
    tables, split = read_parts(table, columns, validation, test, seed)
    names = SIDES if table is None else (str(in0), str(in1))
    sides = _make_sides(tables["train"], names, kinds, vocab_size, min_count)
    sides = _choose_tokenizer(sides, tokenizer)
    column = "label" if table is None else str(label)
    labels = None if label is None else _make_label_column(column, classes, given)
    skip = on_error == "skip"
    data = prepare_tables(
        *(tables, sides, labels, split),
        negatives=name_negatives(table, columns.negatives),
        shared=shared_vocabulary,
        skip=skip,
    )
    _log_problems(data.report.problems)
    warn_of_unused(given, objective)
    config = Hyperparameters.from_strings(overrule(data.hyperparameters, given), objective)
    run = _make_run(data, config, auxiliary, seed, devices, skip=skip, verbose=verbose)
    run.on_epoch = partial(_call_all, callbacks)
    if label is None and not (config.negative_sampling_rate or objective):
        advice = "set a negative_sampling_rate, or an objective"
        _log.warning("without labels every pair is a positive: %s", advice)
    _fit(run)
    provenance = {"command": command, "data_sha256": _hash_parts(run)}
    model = make_model(run, data.tokenizers, data.class_names, provenance, license_id)
    if output is not None:
        save(model, Path(output))
    return model


def _check(given: Any, callbacks: Any, on_error: Any, output: Any, license_id: Any) -> None:
    check_license(license_id)
    require_instance("hyperparameters", given, Mapping, "a mapping from names to values")
    require_choice("on_error", on_error, ("fail", "skip"), "'fail' or 'skip'")
    if not isinstance(callbacks, Iterable) or not all(map(callable, callbacks)):
        raise InputError(f"callbacks={describe(callbacks)} must be functions in a sequence")
    if output is not None:
        check_model_target(output)


def _check_columns(label: Any, classes: Any, shared_vocabulary: Any, verbose: Any) -> None:
    is_sequence = isinstance(classes, list | tuple)
    if not is_sequence or not all(isinstance(name, str) for name in classes):
        raise InputError(f"classes={describe(classes)} must be names of classes in a list")
    if classes and label is None:
        raise InputError("classes are names of labels, but there is no label")
    require_instance("shared_vocabulary", shared_vocabulary, bool, "True or False")
    require_instance("verbose", verbose, bool, "True or False")


def _make_sides(
    table: pa.Table, names: tuple[str, str], kinds: Any, vocab_size: int | None, min_count: int
) -> tuple[Side, Side]:
    pair = kinds if isinstance(kinds, tuple) else (kinds, kinds)
    if len(pair) != 2:  # noqa: PLR2004 - in0 and in1
        raise InputError(f"kinds={describe(kinds)} must be one kind, or a pair")
    size = vocab_size
    if vocab_size is not None:
        size = require_integer("vocab_size", vocab_size, 2, LARGEST_ID + 1)
    least = require_integer("min_count", min_count, 1)
    in0, in1 = (
        Side(name, _choose_kind(kind, table.schema.field(name).type), size, least)
        for name, kind in zip(names, pair, strict=True)
    )
    if (in0.kind, in1.kind) == ("ids", "ids") and (size is not None or least > 1):
        raise InputError("in0 and in1 hold ids, which leaves nothing for vocab_size and min_count")
    return in0, in1


def _choose_tokenizer(sides: tuple[Side, Side], tokenizer: Algorithm | None) -> tuple[Side, Side]:
    """The sides, those of texts with a tokenizer."""
    if tokenizer is None:
        return sides
    require_choice("tokenizer", tokenizer, ALGORITHMS, f"one of {', '.join(ALGORITHMS)}")
    if all(side.kind != "text" for side in sides):
        raise InputError(f"tokenizer={tokenizer} is for texts, but in0 and in1 hold none")
    in0, in1 = (
        replace(side, tokenizer=tokenizer) if side.kind == "text" else side for side in sides
    )
    return in0, in1


def _choose_kind(kind: Any, column: pa.DataType) -> Kind:
    """A kind that was given, or the one that follows from the type of a column."""
    require_choice("kinds", kind, (None, *KINDS), f"one of {', '.join(KINDS)}, or None")
    return infer_kind(column) if kind is None else cast("Kind", kind)


def _make_label_column(
    column: str, classes: Sequence[str], given: Mapping[str, Any]
) -> LabelColumn:
    layer = given.get("output_layer")
    return LabelColumn(column, tuple(classes), layer if layer in get_args(OutputLayer) else None)


def _log_problems(problems: SkippedRows) -> None:
    if problems.count:
        listed = "; ".join(problems.listed)
        _log.warning("%d bad rows are left out, such as %s", problems.count, listed)
    for remark in problems.remarks:
        _log.warning("%s", remark)


def _make_run(
    data: PreparedTables,
    config: Hyperparameters,
    auxiliary: str | PathLike[str] | None,
    seed: int,
    devices: int | None,
    *,
    skip: bool,
    verbose: bool,
) -> Run:
    """The run, with everything checked that it needs."""
    if len(data.class_names) == 1:
        raise InputError(f"the labels name one class, {data.class_names[0]!r}; two are needed")
    check_class_names(data.class_names, config)
    check_tokenizers(data.tokenizers, config)
    positives = config.negative_sampling_rate > 0
    parts = {
        part: make_dataset(rows, config, part, skip=skip, positives=positives and part == "train")
        for part, rows in data.parts.items()
    }
    return Run(
        *(config, parts["train"], parts.get("validation"), parts.get("test")),
        seed=seed,
        reporter=Reporter() if verbose else make_silent_reporter(),
        pretrained=read_pretrained(config, None if auxiliary is None else Path(auxiliary)),
        placement=choose_placement(devices=devices),
    )


def _hash_parts(run: Run) -> dict[str, str]:
    """The SHA-256 of the ids, labels and hard negatives of each part."""
    parts = {"train": run.train, "validation": run.validation, "test": run.test}
    return {part: data.hash() for part, data in parts.items() if data is not None}


def _call_all(callbacks: Sequence[Callback], epoch: int, metrics: ChannelMetrics) -> bool:
    """Calls each; returns whether one of them ends the run."""
    copies = [{name: dict(values) for name, values in metrics.items()} for _ in callbacks]
    outcomes = [callback(epoch, own) for callback, own in zip(callbacks, copies, strict=True)]
    return any(isinstance(outcome, bool | np.bool_) and outcome for outcome in outcomes)


def _fit(run: Run) -> None:
    try:
        run.fit()
    except KeyboardInterrupt:
        if not run.params:
            raise
        _log.warning("interrupted: the model is that of epoch %d, the best so far", run.best_epoch)
