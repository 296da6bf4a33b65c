"""Labels: numbers, or the names of classes, and which of them a configuration takes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from o2v_jax.arguments import describe, show
from o2v_jax.data.raw_values import list_values
from o2v_jax.data.records import LabelValues
from o2v_jax.data.spelling import spell_integer, spell_scalar
from o2v_jax.data.validate import Fault
from o2v_jax.errors import InputError, RecordError
from o2v_jax.hyperparameters import Hyperparameters


def read_labels(
    labels: Any, config: Hyperparameters, class_names: Sequence[str] = ()
) -> LabelValues:
    """Labels that a caller holds, as float64 `[records]`.

    Args:
        labels: a list, an array or a column (Arrow, polars, pandas) of what `parse_labels` takes.
        config: says which labels there are.
        class_names: of the model.

    Raises:
        InputError: they are not a sequence.
        RecordError: one is not of this configuration; says which.
    """
    found = read_label_values(labels, class_names)
    wrong = find_wrong_labels(found, config)
    if wrong.any():
        at = int(wrong.argmax())
        raise RecordError(
            f"record {at}", f"the label {describe_label(float(found[at]), config).text}"
        )
    return found


def read_label_values(labels: Any, class_names: Sequence[str] = ()) -> LabelValues:
    """As `read_labels`, of any configuration: what numbers these are is not checked."""
    is_sequence = isinstance(labels, Iterable) and getattr(labels, "ndim", 1) == 1
    if isinstance(labels, str | bytes | Mapping) or not is_sequence:
        raise InputError(f"labels={describe(labels)} must be labels in a sequence, one a record")
    return parse_labels(list_values(labels), class_names, "record {}".format)


def parse_labels(
    values: Iterable[Any], class_names: Sequence[str], place_of: Callable[[int], str]
) -> LabelValues:
    """Labels as float64 `[records]`: numbers, or texts that hold them, or names of classes.

    Args:
        values: a label a record.
        class_names: what the classes are called, in their order; a name comes before a number.
        place_of: says where the record of this number is, for messages.

    Raises:
        RecordError: one is none of these; says which.

    >>> parse_labels(["no", "yes", 1], ["no", "yes"], "record {}".format)
    array([0., 1., 1.])
    """
    numbers = {name: float(number) for number, name in enumerate(class_names)}
    values = list(values)
    names = [_spell_name(value) for value in values]
    if numbers and all(name in numbers for name in names):  # as a table of these names has them
        return np.array([numbers[name] for name in names], np.float64)
    return np.array(
        [_parse_label(value, numbers, at, place_of) for at, value in enumerate(values)], np.float64
    )


def _spell_name(value: Any) -> str:
    """A label as preparation reads names: 1.0 is "1", and True is "true"."""
    text = value.strip() if isinstance(value, str) else spell_scalar(value) or ""
    return text if isinstance(value, str) else spell_integer(text)


def _parse_label(
    value: Any, numbers: dict[str, float], record: int, place_of: Callable[[int], str]
) -> float:
    if isinstance(value, str) and value in numbers:
        return numbers[value]
    try:
        if isinstance(value, bytes) or (isinstance(value, str) and "_" in value):
            raise ValueError(value)  # noqa: TRY301 - which float() takes
        return float(value)
    except (TypeError, ValueError, OverflowError):
        names = f" nor one of {', '.join(numbers)}" if numbers else ""
        reason = f"the label {show(value)} is not a number{names}"
        raise RecordError(place_of(record), reason) from None


def require_labelled_outputs(config: Hyperparameters) -> None:
    """Checks that a model gives classes or values, which labels can be compared with.

    Raises:
        InputError: it has an in-batch objective.
    """
    if config.objective is not None:
        raise InputError(
            f"this model was trained to rank by {config.objective.similarity}, and gives neither "
            "classes nor values to compare with labels: use o2v evaluate --ranking, or in Python "
            "o2v_jax.evaluate_ranking"
        )


def find_wrong_labels(labels: LabelValues, config: Hyperparameters) -> npt.NDArray[np.bool_]:
    """Which labels are not of this configuration, bool `[labels]`."""
    right: npt.NDArray[np.bool_] = np.abs(labels) <= np.finfo(np.float32).max
    if config.objective is not None:
        right = labels == 1
    elif config.is_classification:
        right = (labels >= 0) & (labels < config.num_classes) & (labels == np.floor(labels))
    return ~right


def describe_label(label: float, config: Hyperparameters) -> Fault:
    """What is wrong with a label that is not of this configuration."""
    rule = "a finite number that float32 can hold"
    if config.objective is not None:
        rule = "1, and the in-batch objective trains on pairs that belong together"
    elif config.is_classification:
        classes = f"0..{config.num_classes - 1} of num_classes={config.num_classes}"
        rule = f"an integer class in {classes} (output_layer=mean_squared_error takes any number)"
    return Fault("$.label", f"{label:g} is not {rule}")
