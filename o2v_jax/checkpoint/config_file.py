"""config.json: what it says about a model, and every rule of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from o2v_jax.arguments import show
from o2v_jax.checkpoint.histogram import histogram_from_json, histogram_to_json
from o2v_jax.checkpoint.model import Histogram, Model
from o2v_jax.checkpoint.problems import Problems
from o2v_jax.data.vocabulary import TOKENIZER, Vocabulary
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import Hyperparameters

FORMAT = "o2v_jax"
FORMAT_VERSION = 1
_REQUIRED = ("format", "format_version", "hyperparameters", "params_sha256")
_OPTIONAL = ("tokenizer", "length_histogram")
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
        has_tokenizer: whether a tokenizer is named; None: config.json could not be read.
        lowercase: whether the tokenizer makes texts lower case, if it is named rightly.
        length_histogram: see `Model`.
    """

    config: Hyperparameters | None = None
    params_sha256: str | None = None
    has_tokenizer: bool | None = None
    lowercase: bool | None = None
    length_histogram: Histogram | None = None


def compose(model: Model, params_sha256: str) -> dict[str, Any]:
    """The contents of config.json for a model."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "hyperparameters": model.config.to_strings(),
        "params_sha256": params_sha256,
    }
    if model.vocabulary is not None:
        document["tokenizer"] = {"name": TOKENIZER, "lowercase": model.vocabulary.lowercase}
    if model.length_histogram is not None:
        document["length_histogram"] = histogram_to_json(model.length_histogram)
    return document


def parse(document: Mapping[str, Any], problems: Problems) -> ConfigFile:
    """Reads the contents of config.json; what is wrong goes to `problems`."""
    _check_keys(document, problems)

    def read(key: str, reader: Callable[[Any], _T]) -> _T | None:
        with problems.gathered():
            return reader(document[key]) if key in document else None
        return None

    read("format", _format)
    read("format_version", _version)
    return ConfigFile(
        config=read("hyperparameters", _hyperparameters),
        params_sha256=read("params_sha256", _sha256),
        has_tokenizer="tokenizer" in document,
        lowercase=read("tokenizer", _lowercase),
        length_histogram=read("length_histogram", histogram_from_json),
    )


def is_model_config(document: Mapping[str, Any]) -> bool:
    """Whether this is the config.json of a model of this library, of any version."""
    return document.get("format") == FORMAT


def max_vocabulary_bytes(config: Hyperparameters | None) -> int:
    """How large a vocab.json may be: a KB for each token on average, 1 GB at most."""
    tokens = 0 if config is None else max(config.encoder(side).vocab_size for side in (0, 1))
    return min(_MAX_VOCABULARY_BYTES, 2**20 + 2**10 * tokens)


def check_vocabulary(vocabulary: Vocabulary, config: Hyperparameters) -> None:
    """Checks that every token id can be looked up in both embedding tables.

    Raises:
        InputError: one cannot; the token with the largest id is named.
    """
    limit = min(config.encoder(side).vocab_size for side in (0, 1))
    if vocabulary.size > limit:
        token = max(vocabulary.tokens, key=vocabulary.tokens.__getitem__)
        raise InputError(
            f"vocab.json: token {show(token[:100])} has id {vocabulary.size - 1}, "
            f"but ids must be below the vocab_size {limit}"
        )


def _check_keys(document: Mapping[str, Any], problems: Problems) -> None:
    problems.extend(f"config.json: {key!r} is missing" for key in _REQUIRED if key not in document)
    unknown = [key for key in document if key not in (*_REQUIRED, *_OPTIONAL)]
    problems.extend(
        f"config.json: {show(key)} is no key of format version {FORMAT_VERSION}"
        for key in unknown[:_KEYS_SHOWN]
    )
    if more := unknown[_KEYS_SHOWN:]:
        problems.append(f"config.json: nor are {len(more):,} more keys")


def _format(value: Any) -> None:
    if value != FORMAT:
        raise InputError(f'config.json: format must be "{FORMAT}", but it is {show(value)}')


def _version(value: Any) -> None:
    if type(value) is not int or value != FORMAT_VERSION:
        raise InputError(
            f"config.json: format version {show(value)} is unknown, "
            f"this release of o2v_jax reads version {FORMAT_VERSION}"
        )


def _hyperparameters(value: Any) -> Hyperparameters:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise InputError("config.json: hyperparameters must be an object of strings")
    return Hyperparameters.from_strings(value)


def _sha256(value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"config.json: params_sha256 must be a string, but it is {show(value)}")
    return value


def _lowercase(value: Any) -> bool:
    if (
        not isinstance(value, dict)
        or set(value) != {"name", "lowercase"}
        or value["name"] != TOKENIZER
        or type(value["lowercase"]) is not bool
    ):
        raise InputError(
            f'config.json: tokenizer must be {{"name": "{TOKENIZER}", "lowercase": true}} '
            f"(or false), but it is {show(value)}"
        )
    return value["lowercase"]
