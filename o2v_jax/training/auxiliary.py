"""The auxiliary channel: files that hyperparameters name, and the vocabularies among them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from o2v_jax.data.vocabulary import read_json_object
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.util import require_all_local

_FILES_SHOWN = 5
_PADDING_NAMES = ("pad", "padding", "blank", "")


def auxiliary_file(config: Hyperparameters, name: str, directory: Path | None) -> Path | None:
    """The file that the hyperparameter `name` names, or None if it names none.

    Raises:
        InputError: the directory was not given or does not hold the file.
    """
    file: str = getattr(config, name)
    require_all_local(directory)
    if not file:
        return None
    if directory is not None and (directory / file).is_file():
        return directory / file
    reason = "it was not given" if directory is None else f"{directory} {_held(directory)}"
    raise InputError(
        f"{name}={file}: --auxiliary DIR (in SageMaker the channel auxiliary) must hold {file}, "
        f"but {reason}"
    )


def token_ids(config: Hyperparameters, side: int, file: Path) -> dict[str, int]:
    """The tokens of `enc*_vocab_file` and their ids; those of id 0, which is padding, left out.

    Raises:
        InputError: the file is not a JSON map of tokens to different ids inside the vocabulary;
            every wrong token is named (the first five of them).
    """
    tokens = read_json_object(file)
    problems = list(_problems(tokens, f"enc{side}_vocab_size", config.encoder(side).vocab_size))
    if len(problems) > _FILES_SHOWN:
        problems[_FILES_SHOWN:] = [f"and {len(problems) - _SHOWN} more tokens like these"]
    if problems:
        raise InputError(f"{file.name}: " + "; ".join(problems))
    _say_padding(tokens, file.name)
    kept = {token: index for token, index in tokens.items() if index}
    if not kept:
        raise InputError(f"{file.name}: must map tokens to ids from 1 on, but holds none")
    return kept


def _held(directory: Path) -> str:
    """What a directory has instead of the file that was looked for."""
    if not directory.is_dir():
        return "is no directory"
    names = sorted(path.name for path in directory.iterdir() if path.is_file())
    listed = ", ".join(names[:_FILES_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"holds only {listed}" if names else "is empty"


def _problems(tokens: Mapping[str, Any], setting: str, size: int) -> Iterator[str]:
    owners: dict[int, str] = {}
    for token, index in tokens.items():
        if type(index) is not int:
            yield f"token {token!r} must have an integer id, but it has {index!r:.50}"
        elif not 0 <= index < size:
            yield f"token {token!r} has id {index}, but {setting}={size} allows 0..{size - 1}"
        elif index and owners.setdefault(index, token) != token:
            yield f"tokens {owners[index]!r} and {token!r} both have id {index}"


def _say_padding(tokens: Mapping[str, int], name: str) -> None:
    """Says which words id 0 turns into padding, once for all of them."""
    zeros = [token for token, index in tokens.items() if not index]
    words = [token for token in zeros if token.strip("<>[]_").lower() not in _PADDING_NAMES]
    if words:
        more = f" and {len(words) - _FILES_SHOWN} more" if len(words) > _SHOWN else ""
        listed = ", ".join(map(repr, words[:_FILES_SHOWN])) + more
        _log.warning("%s: id 0 is padding, so its token gets no vector: %s", name, listed)
