"""A vocabulary: words to token ids, and the tokenizer that splits a text into words."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from o2v_jax.arguments import describe, require_instance, require_integer, require_path, show
from o2v_jax.errors import InputError
from o2v_jax.extras import require_extra
from o2v_jax.util import is_unicode, require_local

PADDING = "<pad>"
UNKNOWN = "<unk>"
NO_TEXT = "holds half of a surrogate pair, which is not valid Unicode"
TREEBANK = "treebank"

_QUOTES = {"``": '"', "''": '"'}
_PROBLEMS_SHOWN = 5
_RESERVED = (PADDING, UNKNOWN)


@dataclass(frozen=True)
class Vocabulary:
    """A map from tokens to ids, as Object2Vec's `enc0_vocab_file` holds it.

    Id 0 is padding: only `"<pad>"` may have it. Words that are not in the map get the id of
    `"<unk>"`; in a vocabulary without `"<unk>"` they are dropped.

    Attributes:
        tokens: token -> id, each id once; a double quote is always `'"'`.
        lowercase: whether texts are made lower case before they are looked up.

    Raises:
        InputError: an id is not an integer, negative, used twice or 0, or a token is not
            valid Unicode text; names the first five such tokens.

    >>> words = Vocabulary({"<unk>": 1, "a": 2, "man": 3})
    >>> words.encode("A man eats")
    [2, 3, 1]
    """

    tokens: Mapping[str, int]
    lowercase: bool = True

    def __post_init__(self) -> None:
        require_instance("tokens", self.tokens, Mapping, "a map of tokens to ids")
        require_instance("lowercase", self.lowercase, bool, "True or False")
        problems = _find_problems(self.tokens)
        shown = list(islice(problems, _PROBLEMS_SHOWN))
        if more := sum(1 for _ in problems):
            shown.append(f"and {more} more tokens like these")
        if shown:
            raise InputError("; ".join(shown))

    @classmethod
    def build(
        cls, texts: Iterable[Sequence[str]], size: int, *, lowercase: bool = True
    ) -> "Vocabulary":
        """Keeps the most frequent tokens; of equally frequent ones the first in code point order.

        Args:
            texts: the tokens of each text, as `tokenize` makes them.
            size: the number of ids at most, `"<pad>"` (0) and `"<unk>"` (1) included: a
                `vocab_size` that holds the vocabulary.
            lowercase: whether texts are made lower case, here and in `encode`.

        Raises:
            InputError: `size` is not an integer or below 2, or a text is not a sequence of tokens.
        """
        require_integer("size", size, len(_RESERVED))
        require_instance("lowercase", lowercase, bool, "True or False")
        if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
            raise InputError(
                f"texts={describe(texts)} must be the tokens of each text, in sequences"
            )
        counts = Counter(
            token for tokens in texts for token in _normalize_tokens(tokens, lowercase)
        )
        return cls.from_counts(counts, size, lowercase=lowercase)

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, int], size: int, *, lowercase: bool = True
    ) -> "Vocabulary":
        """As `build`, of tokens that have been counted.

        Args:
            counts: how often each token occurs.
            size: the number of ids at most; `"<pad>"` and `"<unk>"` always have theirs.
            lowercase: whether `encode` makes texts lower case.
        """
        ranked = sorted(counts.keys() - {*_RESERVED}, key=lambda token: (-counts[token], token))
        names = (*_RESERVED, *ranked[: max(size - len(_RESERVED), 0)])
        return cls({token: index for index, token in enumerate(names)}, lowercase)

    @classmethod
    def read(cls, path: str | Path, *, lowercase: bool = True) -> "Vocabulary":
        """Reads a JSON object of token -> id.

        Raises:
            InputError: the file cannot be read, is not a JSON object, names a token twice or
                has a wrong id.
        """
        path = require_path("path", path)
        return cls._make(read_json_object(path), path.name, lowercase)

    @classmethod
    def parse(cls, data: bytes, name: str, *, lowercase: bool = True) -> "Vocabulary":
        """As `read`, of a file's contents; `name` is what errors call it.

        Raises:
            InputError: as `read`.
        """
        return cls._make(parse_json_object(data, name), name, lowercase)

    @classmethod
    def _make(cls, tokens: dict[str, Any], name: str, lowercase: bool) -> "Vocabulary":
        try:
            return cls(tokens, lowercase)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error

    def to_json(self) -> bytes:
        """A JSON object of token -> id, one token a line, in the map's order."""
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        return orjson.dumps(dict(self.tokens), option=options)

    def write(self, path: str | Path) -> None:
        """Writes `to_json` to a file.

        Raises:
            InputError: it is not a path on this machine.
        """
        require_path("path", path).write_bytes(self.to_json())

    @property
    def size(self) -> int:
        """The smallest `vocab_size` that holds every id."""
        return max(self.tokens.values(), default=0) + 1

    @property
    def unknown_id(self) -> int | None:
        """The id of `"<unk>"`; None: words that are not in the map are dropped."""
        return self.tokens.get(UNKNOWN)

    def encode(self, text: str) -> list[int]:
        """The ids of a text's tokens; see `tokenize`.

        Raises:
            InputError: it is not a text.
        """
        require_instance("text", text, str, "a text")
        return self.encode_tokens(tokenize(text, self.lowercase))

    def encode_tokens(self, tokens: Iterable[str]) -> list[int]:
        """The ids of tokens that `tokenize` made.

        Raises:
            InputError: it is one text, whose letters would be the tokens, or holds other things.
        """
        unknown = self.unknown_id
        known = _normalize_tokens(tokens, self.lowercase)
        ids = (self.tokens.get(token, unknown) for token in known)
        return [index for index in ids if index is not None]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ids, for people to read: an id that no token has is written as `<7>`.

        >>> Vocabulary({"<unk>": 1, "a": 2, "man": 3}).decode([2, 3, 1, 7])
        ['a', 'man', '<unk>', '<7>']
        """
        return name_ids(ids, self._by_id)

    @cached_property
    def _by_id(self) -> dict[int, str]:
        return {index: token for token, index in self.tokens.items()}


def name_ids(ids: Iterable[int], by_id: Mapping[int, str]) -> list[str]:
    """The tokens of ids; an id that has none is written as `<7>`."""
    return [by_id.get(index, f"<{index}>") for index in map(int, ids)]


def tokenize(text: str, lowercase: bool = True) -> list[str]:
    """Splits one sentence as the Penn Treebank does, with NLTK's `TreebankWordTokenizer`.

    SNLI was tokenised in this way. Text that is already split comes out unchanged, except for
    quotation marks: the Treebank's opening and closing marks and `'"'` all become `'"'`, because
    which of them NLTK writes depends on the blanks around them. Only the last full stop of a text
    is split off, so give it one sentence at a time.

    >>> tokenize("A man isn't sleeping.")
    ['a', 'man', 'is', "n't", 'sleeping', '.']
    """
    return [normalize_token(token, lowercase) for token in _load_treebank().tokenize(text)]


def read_json_object(path: str | Path) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Raises:
        InputError: the file cannot be read, is not JSON (with line and column), is not an object
            or names a key twice.
    """
    require_local(path)
    name = Path(path).name
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    return parse_json_object(data, name)


def parse_json_object(data: bytes, name: str) -> dict[str, Any]:
    """Reads a JSON object that a file of this name holds.

    Raises:
        InputError: it is not JSON (with line and column), is not an object or names a key twice.
    """
    try:
        value = json.loads(data, object_pairs_hook=refuse_duplicate_keys)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{name} must hold a JSON object, but it holds a {type(value).__name__}")
    return value


def refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict, for `object_pairs_hook` of `json.loads`.

    Raises:
        ValueError: a key stands in it twice; which of the values is meant cannot be known.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = (key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError("it names " + ", ".join(map(_show_token, islice(twice, 5))) + " twice")
    return found


def _find_problems(tokens: Mapping[str, int]) -> Iterator[str]:
    owners: dict[int, str] = {}
    for token, index in tokens.items():
        if not isinstance(token, str):
            yield f"token {show(token)} is not a string"
        elif not is_unicode(token):
            yield f"token {_show_token(token)} {NO_TEXT}"
        elif type(index) is not int:
            yield f"token {_show_token(token)} must have an integer id, but it has {show(index)}"
        elif index < 0 or (index == 0 and token != PADDING):
            yield (
                f"token {_show_token(token)} has id {show(index)}, "
                f"but ids begin at 1 (0 is {PADDING!r} alone)"
            )
        elif owners.setdefault(index, token) != token:
            both = f"{_show_token(owners[index])} and {_show_token(token)}"
            yield f"tokens {both} both have id {show(index)}"


def _show_token(token: str) -> str:
    return show(token[:100])  # without the quoting of all of a token of megabytes


def normalize_token(token: str, lowercase: bool) -> str:
    """The form of a token that a vocabulary holds: one double quote, lower case if asked for."""
    token = _QUOTES.get(token, token)
    return token.lower() if lowercase else token


def _normalize_tokens(tokens: Iterable[str], lowercase: bool) -> list[str]:
    """The tokens of one text as a vocabulary holds them."""
    if isinstance(tokens, str | bytes):
        what = "is one text, but tokens are expected: give it to `tokenize` first"
        raise InputError(f"{describe(tokens)} {what}")
    try:
        return [normalize_token(token, lowercase) for token in tokens]
    except (TypeError, AttributeError) as error:
        raise InputError(f"tokens must be texts in a sequence, got {describe(tokens)}") from error


@cache
def _load_treebank() -> Any:
    require_extra("text", "splitting a text into tokens", "nltk")
    from nltk.tokenize.treebank import TreebankWordTokenizer  # noqa: PLC0415  its import is slow

    return TreebankWordTokenizer()
