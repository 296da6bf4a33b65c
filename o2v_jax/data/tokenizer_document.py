"""The contents of a tokenizer.json, read and checked without the `tokenizers` library."""

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
    """The model of a tokenizer.json.

    Raises:
        InputError: its type is not one of `MODELS`, or it has dropout.
    """
    model = document.get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(kind, str) or kind not in MODELS:
        raise InputError(f"model.type must be one of {', '.join(MODELS)}, got {show(kind)}")
    if model.get("dropout"):
        dropout = show(model["dropout"])
        raise InputError(f"model.dropout is {dropout}, so ids would vary: set it to null")
    return model


def read_tokens(model: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, int]:
    """Token -> id: the tokens of the model, and those of added_tokens.

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
            raise InputError(f"token {show(token)} is not a string")
        if type(index) is not int or not 0 <= index <= _LARGEST_ID:
            raise InputError(f"token {show(token)} must have an id from 0 on, got {show(index)}")
    return tokens


def find_unknown(model: Mapping[str, Any], tokens: Mapping[str, int]) -> int | None:
    """The id of the unknown token; None: the model splits every text into tokens that it knows.

    Raises:
        InputError: the vocabulary lacks that token, or the model has none and needs one.
    """
    if model["type"] == "Unigram":
        index = model.get("unk_id")
        return index if type(index) is int else None
    token = model.get("unk_token")
    found = tokens.get(token) if isinstance(token, str) else None
    if found is None and (token is not None or model["type"] in _NEEDING_UNKNOWN):
        raise InputError(f"the unknown token {show(token)} is not in its vocabulary")
    return found


def check_merges(model: Mapping[str, Any]) -> None:
    """Checks that in a BPE with a prefix the second part of every merge begins with it.

    Raises:
        InputError: it does not; the library would abort the process.
    """
    prefix, merges = model.get("continuing_subword_prefix"), model.get("merges")
    if model["type"] != "BPE" or not isinstance(prefix, str) or not isinstance(merges, list):
        return
    for merge in merges:
        pair = merge if isinstance(merge, list) else str(merge).split(" ")
        if not all(isinstance(part, str) and part.startswith(prefix) for part in pair[1:]):
            raise InputError(f"merge {show(merge)} lacks the prefix {show(prefix)}")


def check_padding(tokens: Mapping[str, int], document: Mapping[str, Any]) -> None:
    """Checks that no token but padding has id 0, which encoders leave out.

    Raises:
        InputError: another token has it.
    """
    padding = document.get("padding")
    declared = padding.get("pad_token") if isinstance(padding, dict) else PADDING
    for token, index in tokens.items():
        is_padding = token == declared or token.strip("<>[]_|").lower() in _PADDING_NAMES
        if index == 0 and not is_padding:
            raise InputError(f"token {describe(token)} has id 0, but 0 is padding ({PADDING!r})")
