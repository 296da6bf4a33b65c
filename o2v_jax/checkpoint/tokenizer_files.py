"""Tokenizers on disk: the object `inputs` in JSON, and the vocabularies that it names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from o2v_jax.arguments import show
from o2v_jax.data.text_tokenizers import TextTokenizer
from o2v_jax.data.tokenizer_document import MODELS
from o2v_jax.data.tokenizers import KINDS, SIDES, Kind, Tokenizer, Tokenizers
from o2v_jax.data.vocabulary import TREEBANK, Vocabulary
from o2v_jax.errors import InputError

SHARED_VOCABULARY = "vocab.json"
VOCABULARIES = ("vocab0.json", "vocab1.json")
SHARED_TOKENIZER = "tokenizer.json"
TOKENIZERS = ("tokenizer0.json", "tokenizer1.json")
_TOKENIZER_FILES = (SHARED_TOKENIZER, *TOKENIZERS)
_VOCABULARY_FILES = (SHARED_VOCABULARY, *VOCABULARIES)
VOCABULARY_FILES = (*_VOCABULARY_FILES, *_TOKENIZER_FILES)
ALGORITHMS = (TREEBANK, *MODELS.values())


@dataclass(frozen=True)
class SideInput:
    """What JSON says of one side.

    Attributes:
        kind: of its `Tokenizer`.
        vocabulary: the name of its file; None for ids.
        algorithm: what splits texts: one of `ALGORITHMS`.
        lowercase: whether texts are made lower case, for the Treebank tokenizer; for another,
            its file tells.
        whole_numbers: as of `Tokenizer`.
    """

    kind: Kind
    vocabulary: str | None = None
    algorithm: str = TREEBANK
    lowercase: bool = True
    whole_numbers: bool = False


Inputs: TypeAlias = tuple[SideInput, SideInput]


def compose_inputs(tokenizers: Tokenizers) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The object `inputs`, and the files that it names, by name."""
    first, second = tokenizers
    shared = first.vocabulary is not None and first.vocabulary is second.vocabulary
    described: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for at, (side, tokenizer) in enumerate(zip(SIDES, tokenizers, strict=True)):
        name = _choose_name(tokenizer, None if shared else at)
        described[side] = _describe_side(tokenizer, name)
        if tokenizer.vocabulary is not None and name not in files:
            files[name] = _encode_vocabulary(tokenizer.vocabulary)
    return described, files


def parse_inputs(value: Any) -> Inputs:
    """The inverse of `compose_inputs`, without the files.

    Raises:
        InputError: it is not such an object; says where.
    """
    if not isinstance(value, dict) or set(value) != set(SIDES):
        raise InputError(f'inputs must be {{"in0": {{...}}, "in1": {{...}}}}, got {show(value)}')
    in0, in1 = (_parse_side(f"inputs.{side}", value[side]) for side in SIDES)
    return in0, in1


def read_tokenizers(inputs: Inputs, read: Callable[[str], bytes]) -> Tokenizers:
    """The tokenizers of both sides; what both share is read once.

    Args:
        inputs: of `parse_inputs`.
        read: returns the content of a file by its name.

    Raises:
        InputError: a file is wrong, or what `read` raises.
    """
    found: dict[tuple[str, bool], Vocabulary | TextTokenizer] = {}
    for name, side in zip(SIDES, inputs, strict=True):
        if side.vocabulary is not None:
            key = side.vocabulary, side.lowercase
            if key not in found:
                found[key] = _decode_vocabulary(side, read(side.vocabulary))
            _check_algorithm(name, side, found[key])
    in0, in1 = (
        Tokenizer(
            side.kind,
            found.get((side.vocabulary or "", side.lowercase)),
            whole_numbers=side.whole_numbers,
        )
        for side in inputs
    )
    return in0, in1


def _choose_name(tokenizer: Tokenizer, side: int | None) -> str:
    """The name of a file that holds a vocabulary, of both sides if `side` is None."""
    if isinstance(tokenizer.vocabulary, TextTokenizer):
        return SHARED_TOKENIZER if side is None else TOKENIZERS[side]
    return SHARED_VOCABULARY if side is None else VOCABULARIES[side]


def _encode_vocabulary(vocabulary: Vocabulary | TextTokenizer) -> bytes:
    if isinstance(vocabulary, TextTokenizer):
        return vocabulary.content
    return vocabulary.to_json()


def _decode_vocabulary(side: SideInput, content: bytes) -> Vocabulary | TextTokenizer:
    name = str(side.vocabulary)
    if name in _TOKENIZER_FILES:
        return TextTokenizer(content, name)
    return Vocabulary.parse(content, name, lowercase=side.lowercase)


def _check_algorithm(name: str, side: SideInput, found: Vocabulary | TextTokenizer) -> None:
    if isinstance(found, TextTokenizer) and found.algorithm != side.algorithm:
        reason = f"inputs.{name}.tokenizer says {show(side.algorithm)}"
        raise InputError(f'{side.vocabulary}: holds a tokenizer "{found.algorithm}", but {reason}')


def _describe_side(tokenizer: Tokenizer, file: str) -> dict[str, Any]:
    described: dict[str, Any] = {"kind": tokenizer.kind}
    if tokenizer.vocabulary is not None:
        described["vocabulary"] = file
    if tokenizer.kind == "text":
        described["tokenizer"] = tokenizer.algorithm
    if tokenizer.kind == "text" and isinstance(tokenizer.vocabulary, Vocabulary):
        described["lowercase"] = tokenizer.vocabulary.lowercase
    if tokenizer.kind == "value":
        described["whole_numbers"] = tokenizer.whole_numbers
    return described


# what an object of each kind holds, besides its kind; a text by its tokenizer
_KEYS: Mapping[Kind, frozenset[str]] = {
    "text": frozenset({"vocabulary", "tokenizer"}),
    "tokens": frozenset({"vocabulary"}),
    "value": frozenset({"vocabulary", "whole_numbers"}),
    "ids": frozenset(),
}


def _parse_side(where: str, value: Any) -> SideInput:
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"{where}.kind must be one of {', '.join(KINDS)}, got {show(kind)}")
    algorithm = value.get("tokenizer", TREEBANK)
    if algorithm not in ALGORITHMS:
        names = ", ".join(ALGORITHMS)
        raise InputError(f"{where}.tokenizer must be one of {names}, got {show(algorithm)}")
    expected = _KEYS[kind]
    if kind == "text" and algorithm == TREEBANK:
        expected |= {"lowercase"}
    if set(value) != {"kind", *expected}:
        keys = ", ".join(sorted({"kind", *expected}))
        raise InputError(f"{where} must hold the keys {keys}, got {show(sorted(value))}")
    for name in expected & {"lowercase", "whole_numbers"}:
        if type(value[name]) is not bool:
            raise InputError(f"{where}.{name} must be true or false, got {show(value[name])}")
    files = _VOCABULARY_FILES if algorithm == TREEBANK else _TOKENIZER_FILES
    if "vocabulary" in expected and value["vocabulary"] not in files:
        raise InputError(f"{where}.vocabulary must be one of {', '.join(files)}")
    return SideInput(
        kind,
        value.get("vocabulary"),
        algorithm,
        value.get("lowercase", True),
        value.get("whole_numbers", False),
    )
