"""config.json: its keys, the length histogram, and everything that can be wrong with them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, TypeVar

import numpy as np

from o2v_jax.arguments import show
from o2v_jax.array_types import Index
from o2v_jax.checkpoint.model import Histogram, Model
from o2v_jax.checkpoint.tokenizer_files import (
    SHARED_VOCABULARY,
    Inputs,
    SideInput,
    compose_inputs,
    parse_inputs,
)
from o2v_jax.data.text_tokenizers import TextTokenizer
from o2v_jax.data.tokenizers import SIDES, Tokenizers
from o2v_jax.data.vocabulary import TREEBANK, Vocabulary
from o2v_jax.errors import HyperparameterError, InputError
from o2v_jax.hyperparameters import (
    Hyperparameters,
    InBatchObjective,
    objective_from_json,
    objective_to_json,
)

LONGEST = 9_999_999  # a length read from a file becomes the size of an array: it needs a bound


def histogram_to_json(histogram: Histogram) -> dict[str, dict[str, int]]:
    """`{"in0": {"length": count, ...}, "in1": {...}}`."""
    return {
        side: {str(length): int(counts[length]) for length in np.flatnonzero(counts)}
        for side, counts in zip(SIDES, histogram, strict=True)
    }


def histogram_from_json(value: Any) -> Histogram:
    """The inverse of `histogram_to_json`.

    Raises:
        InputError: a side is missing or something in it is not a length with its count.
    """
    if not isinstance(value, dict) or set(value) != set(SIDES):
        raise InputError('config.json: length_histogram must be {"in0": {...}, "in1": {...}}')
    return _read_counts("in0", value["in0"]), _read_counts("in1", value["in1"])


def _read_counts(side: str, value: Any) -> Index:
    entries: list[tuple[Any, Any]] = (
        [*value.items()] if isinstance(value, dict) else [(value, None)]
    )
    for length, count in entries:
        if not (_is_length(length) and type(count) is int and 0 <= count < 2**63):
            raise InputError(
                f"config.json: length_histogram.{side} must map lengths of 0..{LONGEST} to counts, "
                f"but it holds {show(length)}: {show(count)}"
            )
    counts = np.zeros(max(map(int, value), default=-1) + 1, np.int64)
    for length, count in entries:
        counts[int(length)] = count
    return counts


def _is_length(text: Any) -> bool:
    return (
        isinstance(text, str)
        and text.isascii()
        and text.isdigit()
        and len(text) <= len(str(LONGEST))
    )


class ConfigProblems(list[str]):
    """Sentences, each about one thing that is wrong."""

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keeps what the block raises as problems, and continues after it."""
        try:
            yield
        except HyperparameterError as error:
            self.extend(f"config.json: {problem}" for problem in error.problems)
        except InputError as error:
            self.append(str(error))


FORMAT = "o2v_jax"
FORMAT_VERSION = 2
_REQUIRED = ("format", "format_version", "hyperparameters", "params_sha256")
# by the format's version; what is written is of the last
_OPTIONAL = {
    1: ("tokenizer", "length_histogram"),
    2: ("objective", "inputs", "class_names", "length_histogram"),
}
_KEYS_SHOWN = 20
MAX_JSON_BYTES = 2**25  # of config.json, metrics.json and provenance.json, each
_MAX_VOCABULARY_BYTES = 2**30
_T = TypeVar("_T")


@dataclass(frozen=True)
class ConfigFile:
    """A config.json that was read.

    Attributes:
        config: the hyperparameters, or None if they are wrong.
        params_sha256: the checksum that params.safetensors must have, or None if it is wrong.
        has_inputs: whether it says how raw values become ids; None: it could not be read.
        inputs: what it says of that, if it is right.
        class_names: see `Model`; likewise `length_histogram`.
    """

    config: Hyperparameters | None = None
    params_sha256: str | None = None
    has_inputs: bool | None = None
    inputs: Inputs | None = None
    class_names: tuple[str, ...] = ()
    length_histogram: Histogram | None = None


def compose(model: Model, params_sha256: str) -> dict[str, Any]:
    """The contents of config.json for a model."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "hyperparameters": model.config.to_strings(),
        "params_sha256": params_sha256,
    }
    if model.config.objective is not None:
        document["objective"] = objective_to_json(model.config.objective)
    if model.tokenizers is not None:
        document["inputs"], _ = compose_inputs(model.tokenizers)
    if model.class_names:
        document["class_names"] = list(model.class_names)
    if model.length_histogram is not None:
        document["length_histogram"] = histogram_to_json(model.length_histogram)
    return document


def parse(document: Mapping[str, Any], problems: ConfigProblems) -> ConfigFile:
    """Reads the contents of config.json; what is wrong goes to `problems`."""
    _check_keys(document, problems)

    def read(key: str, reader: Callable[[Any], _T]) -> _T | None:
        with problems.gathered():
            return reader(document[key]) if key in document else None
        return None

    read("format", _check_format)
    read("format_version", _check_version)
    objective = read("objective", _parse_objective)
    config = read("hyperparameters", partial(_parse_hyperparameters, objective))
    return ConfigFile(
        config=config,
        params_sha256=read("params_sha256", _parse_sha256),
        has_inputs="inputs" in document or "tokenizer" in document,
        inputs=read("inputs", _parse_inputs) or read("tokenizer", _parse_inputs_of_format_1),
        class_names=read("class_names", partial(_parse_class_names, config)) or (),
        length_histogram=read("length_histogram", histogram_from_json),
    )


def is_model_config(document: Mapping[str, Any]) -> bool:
    """Whether this is the config.json of a model of this library, of any version."""
    return document.get("format") == FORMAT


def max_vocabulary_bytes(config: Hyperparameters | None) -> int:
    """How large a vocab.json or tokenizer.json may be: a KB a token on average, 1 GB at most."""
    tokens = 0 if config is None else max(config.encoder(side).vocab_size for side in (0, 1))
    return min(_MAX_VOCABULARY_BYTES, 2**20 + 2**10 * tokens)


def check_tokenizers(
    tokenizers: Tokenizers, config: Hyperparameters, names: Sequence[str] = SIDES
) -> None:
    """Checks that every token id can be looked up in the embedding table of its side.

    Args:
        tokenizers: of in0 and in1.
        config: of the model.
        names: what messages call them.

    Raises:
        InputError: one cannot; the token with the largest id is named.
    """
    for side, (name, tokenizer) in enumerate(zip(names, tokenizers, strict=True)):
        limit = config.encoder(side).vocab_size
        if tokenizer.vocabulary is not None and tokenizer.size > limit:
            _refuse_large(tokenizer.vocabulary, name, limit)


def check_class_names(names: Sequence[str], config: Hyperparameters) -> None:
    """Checks that every class has a name, if there are names.

    Raises:
        InputError: there are more or fewer names than classes, or the model is a regression.
    """
    if names and not config.is_classification:
        gives = "is a regression" if config.objective is None else "gives similarities"
        raise InputError(f"class_names are for classes, but this model {gives}")
    if names and len(names) != config.num_classes:
        classes = f"num_classes is {config.num_classes}"
        raise InputError(f"class_names holds {len(names)} names, but {classes}")


def _refuse_large(vocabulary: Vocabulary | TextTokenizer, name: str, limit: int) -> NoReturn:
    token = max(vocabulary.tokens, key=vocabulary.tokens.__getitem__)
    raise InputError(
        f"{name}: token {show(token[:100])} has id {vocabulary.size - 1}, "
        f"but ids must be below the vocab_size {limit}"
    )


def _check_keys(document: Mapping[str, Any], problems: ConfigProblems) -> None:
    problems.extend(f"config.json: {key!r} is missing" for key in _REQUIRED if key not in document)
    version = document.get("format_version")
    version = version if type(version) is int and version in _OPTIONAL else FORMAT_VERSION
    unknown = [key for key in document if key not in (*_REQUIRED, *_OPTIONAL[version])]
    problems.extend(
        f"config.json: {show(key)} is not a key of format version {version}"
        for key in unknown[:_KEYS_SHOWN]
    )
    if more := unknown[_KEYS_SHOWN:]:
        problems.append(f"config.json: nor are {len(more):,} more keys")


def _check_format(value: Any) -> None:
    if value != FORMAT:
        raise InputError(f'config.json: format must be "{FORMAT}", but it is {show(value)}')


def _check_version(value: Any) -> None:
    if type(value) is not int or value not in _OPTIONAL:
        raise InputError(
            f"config.json: format version {show(value)} is unknown: "
            f"this release of o2v_jax reads versions {' and '.join(map(str, _OPTIONAL))}"
        )


def _parse_objective(value: Any) -> InBatchObjective:
    try:
        return objective_from_json(value)
    except InputError as error:
        raise InputError(f"config.json: objective: {error}") from error


def _parse_hyperparameters(objective: InBatchObjective | None, value: Any) -> Hyperparameters:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise InputError("config.json: hyperparameters must be an object of strings")
    return Hyperparameters.from_strings(value, objective)


def _parse_sha256(value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"config.json: params_sha256 must be a string, but it is {show(value)}")
    return value


def _parse_inputs(value: Any) -> Inputs:
    try:
        return parse_inputs(value)
    except InputError as error:
        raise InputError(f"config.json: {error}") from error


def _parse_class_names(config: Hyperparameters | None, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise InputError(f"config.json: class_names must be a list of names, got {show(value)}")
    if len(set(value)) < len(value):
        raise InputError("config.json: class_names holds a name twice")
    if config is not None:
        check_class_names(value, config)
    return tuple(value)


def _parse_inputs_of_format_1(value: Any) -> Inputs:
    """Text of one vocabulary on both sides."""
    if (
        not isinstance(value, dict)
        or set(value) != {"name", "lowercase"}
        or value["name"] != TREEBANK
        or type(value["lowercase"]) is not bool
    ):
        raise InputError(
            f'config.json: tokenizer must be {{"name": "{TREEBANK}", "lowercase": true}} '
            f"(or false), but it is {show(value)}"
        )
    side = SideInput("text", SHARED_VOCABULARY, lowercase=value["lowercase"])
    return side, side
