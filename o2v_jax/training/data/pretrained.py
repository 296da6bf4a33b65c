"""Pretrained token vectors: reads them, inserts them into token tables, finds frozen rows."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
import numpy.typing as npt
from jax import Array

from o2v_jax.array_types import Ids
from o2v_jax.data.text_tokenizers import read_token_ids
from o2v_jax.errors import HyperparameterError, InputError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import Params
from o2v_jax.model.object2vec import table_name
from o2v_jax.training.data.word_vectors import read_first_words, read_vectors
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
    reason = (
        "it was not given" if directory is None else f"{directory} {_describe_files(directory)}"
    )
    raise InputError(
        f"{name}={file}: the auxiliary directory (in SageMaker the channel auxiliary) must hold "
        f"{file}, but {reason}"
    )


def read_vocab_file(config: Hyperparameters, side: int, file: Path) -> dict[str, int]:
    """The tokens of `enc*_vocab_file` and their ids; those of id 0, which is padding, left out.

    Raises:
        InputError: the file is neither a JSON map of tokens to different ids inside the vocabulary
            nor a tokenizer.json of such ids; every wrong token is named (the first five of them).
    """
    tokens = read_token_ids(file)
    problems = list(
        _find_problems(tokens, f"enc{side}_vocab_size", config.encoder(side).vocab_size)
    )
    if len(problems) > _FILES_SHOWN:
        problems[_FILES_SHOWN:] = [f"and {len(problems) - _FILES_SHOWN} more tokens like these"]
    if problems:
        raise InputError(f"{file.name}: " + "; ".join(problems))
    _warn_of_padding(tokens, file.name)
    kept = {token: index for token, index in tokens.items() if index}
    if not kept:
        raise InputError(f"{file.name}: must map tokens to ids from 1 on, but holds none")
    return kept


def _describe_files(directory: Path) -> str:
    """What a directory has instead of the file that was looked for."""
    if not directory.is_dir():
        return "is no directory"
    names = sorted(path.name for path in directory.iterdir() if path.is_file())
    listed = ", ".join(names[:_FILES_SHOWN]) + (", ..." if len(names) > _FILES_SHOWN else "")
    return f"holds only {listed}" if names else "is empty"


def _find_problems(tokens: Mapping[str, Any], setting: str, size: int) -> Iterator[str]:
    owners: dict[int, str] = {}
    for token, index in tokens.items():
        if type(index) is not int:
            yield f"token {token!r} must have an integer id, but it has {index!r:.50}"
        elif not 0 <= index < size:
            yield f"token {token!r} has id {index}, but {setting}={size} allows 0..{size - 1}"
        elif index and owners.setdefault(index, token) != token:
            yield f"tokens {owners[index]!r} and {token!r} both have id {index}"


def _warn_of_padding(tokens: Mapping[str, int], name: str) -> None:
    """Warns of words whose id is 0, which is padding."""
    zeros = [token for token, index in tokens.items() if not index]
    words = [token for token in zeros if token.strip("<>[]_").lower() not in _PADDING_NAMES]
    if words:
        more = f" and {len(words) - _FILES_SHOWN} more" if len(words) > _FILES_SHOWN else ""
        listed = ", ".join(map(repr, words[:_FILES_SHOWN])) + more
        _log.warning("%s: id 0 is padding, so its token gets no vector: %s", name, listed)


_SETTINGS = ("pretrained_embedding_file", "vocab_file", "vocab_size", "token_embedding_dim")
_SHOWN = 3  # words of each kind, in a message

HostOrDeviceArray: TypeAlias = Array | npt.NDArray[np.float32]

_log = logging.getLogger("o2v_jax")


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("ids", "vectors"),
    meta_fields=("table", "frozen", "name", "wanted"),
)
@dataclass(frozen=True, eq=False)
class Pretrained:
    """Vectors for rows of one token table.

    Attributes:
        table: its name: embed_0, embed_1 or, if the tables are tied, embed_shared.
        ids: int32 `[n]`, the rows, each once and none of them 0.
        vectors: float32 `[n, token_embedding_dim]`.
        frozen: whether training leaves these rows as they are.
        name: of the file that the vectors come from.
        wanted: how many tokens the vocabulary has, padding not counted.
    """

    table: str
    ids: Ids
    vectors: npt.NDArray[np.float32]
    frozen: bool
    name: str
    wanted: int

    @property
    def coverage(self) -> float:
        """Share of the vocabulary's tokens that have a vector, 0..1."""
        return len(self.ids) / self.wanted

    def __str__(self) -> str:
        return (
            f"{self.table}: {len(self.ids):,} of {self.wanted:,} vocabulary tokens "
            f"({100 * self.coverage:.1f} %) have vectors in {self.name}; "
            f"{'frozen' if self.frozen else 'fine-tuned'}"
        )


def read_pretrained(config: Hyperparameters, auxiliary: Path | None) -> tuple[Pretrained, ...]:
    """Reads the vectors that the hyperparameters ask for, at most once for each token table.

    `enc*_pretrained_embedding_file` holds words and vectors, `enc*_vocab_file` maps the words to
    ids (Object2Vec documentation, "Hyperparameters"). A vocabulary without vectors is checked and
    changes nothing. Logs what share of each vocabulary has vectors.

    Args:
        config: says which files there are and how wide the vectors must be.
        auxiliary: the directory that holds the files.

    Raises:
        O2VError: a file is missing or wrong, vectors have no vocabulary or another width than the
            token table, or no token has a vector.
    """
    sources = list(_find_sources(config, auxiliary))
    found = tuple(item for source in sources for item in _read_source(config, source))
    for item in found:
        _log.info("%s", item)
    return found


def insert_pretrained(params: Params, pretrained: Sequence[Pretrained]) -> Params:
    """The parameters with the vectors in their rows of the token tables.

    The vectors are taken as they are, not scaled to the other rows. Nothing given is changed;
    a table remains what it was, a NumPy or a JAX array.
    """
    tables = {
        item.table: _insert_vectors(params[item.table]["weight"], item) for item in pretrained
    }
    return {**params, **{table: {"weight": weight} for table, weight in tables.items()}}


def find_frozen_rows(
    config: Hyperparameters, pretrained: Sequence[Pretrained]
) -> dict[str, npt.NDArray[np.bool_]]:
    """For each token table that has frozen rows, bool `[vocab_size]`: which rows never move.

    The documentation freezes "pretrained embedding weights". So the rows that came from the file
    stay exactly as they are, and the rows of words without a vector, which are random at first,
    are trained. With enc*_freeze_pretrained_embedding=False every row is trained.
    """
    sizes = {table_name(config, side): config.encoder(side).vocab_size for side in (0, 1)}
    return {
        item.table: np.isin(np.arange(sizes[item.table]), item.ids)
        for item in pretrained
        if item.frozen
    }


@dataclass(frozen=True)
class _Source:
    """A file of vectors, the tokens it is read for, and the sides that use both."""

    sides: tuple[int, ...]
    vectors: Path
    vocabulary: Path
    tokens: dict[str, int]


def _find_sources(config: Hyperparameters, auxiliary: Path | None) -> Iterator[_Source]:
    """Every file of vectors, with its vocabulary checked: nothing large is read for a mistake."""
    first, second = (
        [getattr(config, f"enc{side}_{name}") for name in _SETTINGS] for side in (0, 1)
    )
    for sides in [(0, 1)] if first == second else [(0,), (1,)]:
        source = _find_source(config, sides, auxiliary)
        if source is not None:
            yield source


def _find_source(
    config: Hyperparameters, sides: tuple[int, ...], auxiliary: Path | None
) -> _Source | None:
    vectors_name, vocabulary_name = (f"enc{sides[0]}_{name}" for name in _SETTINGS[:2])
    wanted = getattr(config, vectors_name)
    if wanted and not getattr(config, vocabulary_name):
        raise HyperparameterError(
            [_describe_missing_vocabulary(vectors_name, wanted, vocabulary_name)]
        )
    vectors = auxiliary_file(config, vectors_name, auxiliary)
    vocabulary = auxiliary_file(config, vocabulary_name, auxiliary)
    if vocabulary is None:
        return None
    tokens = read_vocab_file(config, sides[0], vocabulary)
    if vectors is None:
        note = "%s=%s changes nothing, because %s is not set"
        _log.info(note, vocabulary_name, vocabulary.name, vectors_name)
        return None
    return _Source(sides, vectors, vocabulary, tokens)


def _describe_missing_vocabulary(name: str, file: str, vocabulary_name: str) -> str:
    return (
        f"{name}={file}: needs {vocabulary_name}, which maps words to token ids; "
        f"set {vocabulary_name} to the name of a JSON map of token to id in the auxiliary channel"
    )


def _read_source(config: Hyperparameters, source: _Source) -> Iterator[Pretrained]:
    """The vectors of a source for each table that its sides read, tied tables once."""
    encoder = config.encoder(source.sides[0])
    name, dim = f"enc{source.sides[0]}_token_embedding_dim", encoder.token_embedding_dim
    expected = f"{name}={dim}"
    if encoder.network == "pooled_embedding":
        expected = f"enc_dim={dim}, which is also the width of a pooled_embedding's token vectors"
    ids, vectors = read_vectors(source.vectors, source.tokens, dim, expected=expected)
    if not len(ids):
        raise InputError(_describe_mismatch(source, dim))
    for table, side in {table_name(config, side): side for side in source.sides}.items():
        frozen = getattr(config, f"enc{side}_freeze_pretrained_embedding")
        yield Pretrained(table, ids, vectors, frozen, source.vectors.name, len(source.tokens))


def _describe_mismatch(source: _Source, dim: int) -> str:
    there = ", ".join(map(repr, read_first_words(source.vectors, dim, _SHOWN)))
    wanted = ", ".join(map(repr, islice(source.tokens, _SHOWN)))
    return (
        f"{source.vectors.name}: none of its words (such as {there}) is a token of "
        f"{source.vocabulary.name} (such as {wanted}); both must spell words alike, case included"
    )


def _insert_vectors(table: HostOrDeviceArray, item: Pretrained) -> HostOrDeviceArray:
    if isinstance(table, Array):
        return table.at[item.ids].set(item.vectors)
    table = table.copy()
    table[item.ids] = item.vectors
    return table
