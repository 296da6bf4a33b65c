"""Tokenizers on disk: the object `inputs` in JSON, and the vocabularies that it names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from o2v_jax.arguments import show
from o2v_jax.data.tokenizers import KINDS, SIDES, Kind, Tokenizer, Tokenizers
from o2v_jax.data.vocabulary import TOKENIZER, Vocabulary
from o2v_jax.errors import InputError

SHARED_VOCABULARY = "vocab.json"
VOCABULARIES = ("vocab0.json", "vocab1.json")
VOCABULARY_FILES = (SHARED_VOCABULARY, *VOCABULARIES)


@dataclass(frozen=True)
class SideInput:
    """What JSON says of one side.

    Attributes:
        kind: of its `Tokenizer`.
        vocabulary: the name of its file; None of ids.
        lowercase: whether texts are made lower case.
        whole_numbers: as of `Tokenizer`.
    """

    kind: Kind
    vocabulary: str | None = None
    lowercase: bool = True
    whole_numbers: bool = False


Inputs: TypeAlias = tuple[SideInput, SideInput]


def compose_inputs(tokenizers: Tokenizers) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The object `inputs`, and the files that it names, by name."""
    first, second = tokenizers
    shared = first.vocabulary is not None and first.vocabulary is second.vocabulary
    names = (SHARED_VOCABULARY,) * 2 if shared else VOCABULARIES
    described: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for side, name, tokenizer in zip(SIDES, names, tokenizers, strict=True):
        described[side] = _describe(tokenizer, name)
        if tokenizer.vocabulary is not None and name not in files:
            files[name] = tokenizer.vocabulary.to_json()
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
    """The tokenizers of both sides; a shared vocabulary is read once.

    Args:
        inputs: of `parse_inputs`.
        read: returns the content of a file by its name.

    Raises:
        InputError: a vocabulary is wrong, or what `read` raises.
    """
    found: dict[tuple[str, bool], Vocabulary] = {}
    for side in inputs:
        if side.vocabulary is not None:
            key = side.vocabulary, side.lowercase
            if key not in found:
                found[key] = Vocabulary.parse(read(key[0]), key[0], lowercase=key[1])
    in0, in1 = (
        Tokenizer(
            side.kind,
            found.get((side.vocabulary or "", side.lowercase)),
            whole_numbers=side.whole_numbers,
        )
        for side in inputs
    )
    return in0, in1


def _describe(tokenizer: Tokenizer, file: str) -> dict[str, Any]:
    described: dict[str, Any] = {"kind": tokenizer.kind}
    if tokenizer.vocabulary is not None:
        described["vocabulary"] = file
    if tokenizer.kind == "text" and tokenizer.vocabulary is not None:
        described |= {"tokenizer": TOKENIZER, "lowercase": tokenizer.vocabulary.lowercase}
    if tokenizer.kind == "value":
        described["whole_numbers"] = tokenizer.whole_numbers
    return described


# what an object of each kind holds, besides its kind
_KEYS: Mapping[Kind, frozenset[str]] = {
    "text": frozenset({"vocabulary", "tokenizer", "lowercase"}),
    "tokens": frozenset({"vocabulary"}),
    "value": frozenset({"vocabulary", "whole_numbers"}),
    "ids": frozenset(),
}


def _parse_side(where: str, value: Any) -> SideInput:
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"{where}.kind must be one of {', '.join(KINDS)}, got {show(kind)}")
    expected = _KEYS[kind]
    if set(value) != {"kind", *expected}:
        keys = ", ".join(sorted({"kind", *expected}))
        raise InputError(f"{where} must hold the keys {keys}, got {show(sorted(value))}")
    for name in expected & {"lowercase", "whole_numbers"}:
        if type(value[name]) is not bool:
            raise InputError(f"{where}.{name} must be true or false, got {show(value[name])}")
    if value.get("tokenizer", TOKENIZER) != TOKENIZER:
        raise InputError(f'{where}.tokenizer must be "{TOKENIZER}", got {show(value["tokenizer"])}')
    if "vocabulary" in expected and value["vocabulary"] not in VOCABULARY_FILES:
        names = ", ".join(VOCABULARY_FILES)
        raise InputError(f"{where}.vocabulary must be one of {names}")
    return SideInput(
        kind,
        value.get("vocabulary"),
        value.get("lowercase", True),
        value.get("whole_numbers", False),
    )
