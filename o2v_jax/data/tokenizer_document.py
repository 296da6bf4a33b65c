"""What a tokenizer.json of the `tokenizers` library says, read and checked without the library."""

from collections.abc import Mapping
from typing import Any

from o2v_jax.arguments import describe, show
from o2v_jax.data.vocabulary import PADDING
from o2v_jax.errors import InputError

# the library's name of a model -> what config.json calls the tokenizer
MODELS = {"WordLevel": "word", "BPE": "bpe", "WordPiece": "wordpiece", "Unigram": "unigram"}

_PADDING_NAMES = ("pad", "padding")
_NEEDING_UNKNOWN = ("WordLevel", "WordPiece")  # the library raises for a word that they lack
_LARGEST_ID = 2**31 - 1


def require_model(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The model of a tokenizer.json, of a type that is known."""
    model = document.get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(kind, str) or kind not in MODELS:
        raise InputError(f"model.type must be one of {', '.join(MODELS)}, got {show(kind)}")
    if model.get("dropout"):
        raise InputError(f"model.dropout is {show(model['dropout'])}, so ids would vary: set null")
    return model


def read_tokens(model: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, int]:
    """Token -> id, with those that were added beside the model's.

    Raises:
        InputError: they are not what the library writes.
    """
    vocabulary = model.get("vocab")
    try:
        tokens = (
            {token: index for index, (token, _) in enumerate(vocabulary)}
            if isinstance(vocabulary, list)
            else dict(vocabulary or {})
        )
        for added in document.get("added_tokens") or ():
            tokens.setdefault(added["content"], added["id"])
    except (TypeError, ValueError, KeyError) as error:
        raise InputError("model.vocab or added_tokens is not what the library writes") from error
    for token, index in tokens.items():
        if not isinstance(token, str):
            raise InputError(f"token {show(token)} is no text")
        if type(index) is not int or not 0 <= index <= _LARGEST_ID:
            raise InputError(f"token {show(token)} must have an id from 0 on, got {show(index)}")
    return tokens


def find_unknown(model: Mapping[str, Any], tokens: Mapping[str, int]) -> int | None:
    """The id of what is unknown; None: the model splits everything into what it knows."""
    if model["type"] == "Unigram":
        index = model.get("unk_id")
        return index if type(index) is int else None
    token = model.get("unk_token")
    found = tokens.get(token) if isinstance(token, str) else None
    if found is None and (token is not None or model["type"] in _NEEDING_UNKNOWN):
        raise InputError(f"the unknown token {show(token)} is not in its vocabulary")
    return found


def check_merges(model: Mapping[str, Any]) -> None:
    """BPE's parts behind others begin with its prefix: the library would break off without."""
    prefix, merges = model.get("continuing_subword_prefix"), model.get("merges")
    if model["type"] != "BPE" or not isinstance(prefix, str) or not isinstance(merges, list):
        return
    for merge in merges:
        pair = merge if isinstance(merge, list) else str(merge).split(" ")
        if not all(isinstance(part, str) and part.startswith(prefix) for part in pair[1:]):
            raise InputError(f"merge {show(merge)} lacks the prefix {show(prefix)}")


def check_padding(tokens: Mapping[str, int], document: Mapping[str, Any]) -> None:
    """Id 0 is padding, which encoders leave out, so that no other token may have it."""
    padding = document.get("padding")
    declared = padding.get("pad_token") if isinstance(padding, dict) else PADDING
    for token, index in tokens.items():
        is_padding = token == declared or token.strip("<>[]_|").lower() in _PADDING_NAMES
        if index == 0 and not is_padding:
            raise InputError(f"token {describe(token)} has id 0, but 0 is padding ({PADDING!r})")
