"""Tokenizers: how the raw values of a side become token ids.

Columns of tables, fields of requests and arguments in Python are treated alike: each goes through
the tokenizer of its side, which is part of the model.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal, TypeAlias, cast, get_args

from o2v_jax.arguments import describe, require_choice, require_instance, show
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.spelling import spell_integer, spell_scalar
from o2v_jax.data.text_tokenizers import TextTokenizer
from o2v_jax.data.vocabulary import TREEBANK, Vocabulary, normalize_token, tokenize
from o2v_jax.errors import InputError

# text: a sentence, for a `TextTokenizer` or for `tokenize`; tokens: tokens between blanks, made
# lower case as `tokenize` does; value: the whole cell, exactly as it is, is one token; ids: token
# ids between blanks. An id that became a float is that id: see `spell_integer`
Kind: TypeAlias = Literal["text", "tokens", "value", "ids"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SIDES = ("in0", "in1")

LARGEST_ID = 2_999_999  # the documentation's largest vocab_size is 3,000,000
NO_ID = f"is not a token id, an integer in 0..{LARGEST_ID}"

NO_VOCABULARY = "this model has no vocabulary, so it takes token ids and not text"

_ID = re.compile(r"[0-9]{1,7}", re.ASCII)
# a list or an array as Python writes it: ['red', 'blue'], [1, 2], {"a"}, (1, 2), [1 2]
WRITTEN_LIST = re.compile(
    r"""^\s*[\[({]\s*['"].*['"],?\s*[\])}]\s*$|^\s*\[[-+0-9., \s]+\]\s*$""", re.DOTALL
)


def parse_ids(text: str) -> list[int]:
    """The token ids that a text holds between blanks.

    Raises:
        InputError: something in it is not a token id.

    >>> parse_ids("3 1.0")
    [3, 1]
    """
    items = [spell_integer(item) for item in text.split()]
    for item in items:
        if not (_ID.fullmatch(item) and int(item) <= LARGEST_ID):
            hint = "; write ids with blanks between them" if WRITTEN_LIST.match(text) else ""
            raise InputError(f"{item[:40]!r} {NO_ID}{hint}")
    return [*map(int, items)]


def split_tokens(text: str) -> list[str]:
    """The tokens between the blanks of a text, in lower case."""
    return [normalize_token(token, lowercase=True) for token in text.split()]


def split_value(text: str) -> list[str]:
    """The text as its only token; none if it is blank."""
    return [text] if text.strip() else []


SPLITTERS: Mapping[Kind, Callable[[str], list[str]]] = {
    "text": tokenize,
    "tokens": split_tokens,
    "value": split_value,
}


@dataclass(frozen=True)
class Tokenizer:
    """Turns the raw values of one side into token ids.

    Attributes:
        kind: "text", a sentence; "tokens", a text with tokens between blanks, or a list of tokens;
            "value", one token as it is, such as a user or a film; or "ids", token ids between
            blanks or in a list.
        vocabulary: the ids of tokens; None for ids alone. Of texts a `TextTokenizer`, which also
            splits them, or a `Vocabulary`, for tokens of the Treebank tokenizer.
        whole_numbers: of values, whether one that is not in the vocabulary and was written as a
            float, such as "1.0", is the integer "1".

    Raises:
        InputError: the kind is none of these, or a vocabulary is missing or not needed.

    >>> films = Tokenizer("value", Vocabulary({"<unk>": 1, "Heat (1995)": 2}))
    >>> films.encode("Heat (1995)"), films.encode("Alien")
    ([2], [1])
    >>> Tokenizer("ids").encode("7 3")
    [7, 3]
    """

    kind: Kind
    vocabulary: Vocabulary | TextTokenizer | None = None
    whole_numbers: bool = False

    def __post_init__(self) -> None:
        require_choice("kind", self.kind, KINDS, f"one of {', '.join(KINDS)}")
        require_instance("whole_numbers", self.whole_numbers, bool, "True or False")
        if self.kind == "ids" and self.vocabulary is not None:
            raise InputError("a tokenizer of ids has no vocabulary")
        if self.kind == "text":
            kinds = (Vocabulary, TextTokenizer)
            require_instance("vocabulary", self.vocabulary, kinds, "a Vocabulary or TextTokenizer")
        elif self.kind != "ids":
            require_instance("vocabulary", self.vocabulary, Vocabulary, "a Vocabulary")
        if self.whole_numbers and self.kind != "value":
            raise InputError(f"whole_numbers is for values alone, not for {self.kind}")

    @property
    def size(self) -> int:
        """The smallest `vocab_size` that holds every id; 0 for a tokenizer of ids."""
        return 0 if self.vocabulary is None else self.vocabulary.size

    @property
    def unknown_id(self) -> int | None:
        """The id of tokens that the vocabulary lacks; None: they are dropped, or all are known."""
        return None if self.vocabulary is None else self.vocabulary.unknown_id

    @property
    def algorithm(self) -> str | None:
        """What splits texts, as config.json calls it: "treebank", "word", "bpe"; None: no text."""
        if self.kind != "text":
            return None
        return self.vocabulary.algorithm if isinstance(self.vocabulary, TextTokenizer) else TREEBANK

    def encode(self, value: str | int | Sequence[Any]) -> list[int]:
        """The ids of a raw value.

        Args:
            value: a text; a list of tokens or of ids, for these kinds; of values also a number or
                a truth value.

        Raises:
            InputError: it is none of these, or an id is not one. The message is to follow "in0".
        """
        if self.kind == "ids":
            return parse_ids(value) if isinstance(value, str) else _require_ids(value)
        if isinstance(self.vocabulary, TextTokenizer) and isinstance(value, str):
            return self.vocabulary.encode(value)
        ids = map(self._look_up_one, self.split(value))
        return [index for index in ids if index is not None]

    def encode_each(self, values: Sequence[str | int | Sequence[Any]]) -> Iterator[list[int]]:
        """The ids of raw values, one after the other: of texts faster than `encode`.

        Raises:
            InputError: at the value that is wrong; see `encode`.
        """
        if not isinstance(self.vocabulary, TextTokenizer):
            yield from map(self.encode, values)
            return
        texts = [*takewhile(lambda value: isinstance(value, str), values)]
        yield from self.vocabulary.encode_each(cast(list[str], texts))
        yield from map(self.encode, values[len(texts) :])

    def encode_plain(self, texts: Sequence[str]) -> Ragged | None:
        """The ids of printable ASCII texts, if their words are looked up without the library.

        Returns:
            See `TextTokenizer.encode_plain`.
        """
        if isinstance(self.vocabulary, TextTokenizer):
            return self.vocabulary.encode_plain(texts)
        return None

    def split(self, value: str | int | Sequence[Any]) -> list[str]:
        """The tokens of a raw value, unless it holds ids.

        Raises:
            InputError: see `encode`.
        """
        if self.kind == "value" and (spelled := spell_scalar(value)) is not None:
            return [spelled]
        if self.kind == "tokens" and not isinstance(value, str):
            return _require_tokens(value)
        if not isinstance(value, str):
            article = "a text" if self.kind == "text" else "one value, a text"
            raise InputError(f"must be {article}, but it is {describe(value)}")
        if isinstance(self.vocabulary, TextTokenizer):
            return self.vocabulary.split(value)
        if self.kind == "text":
            return tokenize(value, getattr(self.vocabulary, "lowercase", True))
        return SPLITTERS[self.kind](value)

    def look_up(self, tokens: Iterable[str]) -> list[int]:
        """The ids of tokens; unknown ones have that of `"<unk>"`, or are dropped without it.

        Raises:
            InputError: it is one text, whose letters would be the tokens, or holds other things.
        """
        if isinstance(tokens, str) or not isinstance(tokens, Iterable):
            raise InputError(f"tokens={describe(tokens)} must be texts in a sequence")
        ids = (self._look_up_one(_require_text(token)) for token in tokens)
        return [index for index in ids if index is not None]

    def _look_up_one(self, token: str) -> int | None:
        known = self._tokens
        found = known.get(token)
        if found is None and self.whole_numbers:
            found = known.get(spell_integer(token))
        return self.unknown_id if found is None else found

    def decode(self, ids: Iterable[int]) -> str:
        """Ids as a text for people to read: tokens with blanks between them, or the ids."""
        known = self.vocabulary
        return " ".join(map(str, ids) if known is None else known.decode(ids))

    def knows(self, token: str) -> bool:
        """Whether the vocabulary has a token.

        Raises:
            InputError: it is not a text.
        """
        _require_text(token)
        known = self._tokens
        return token in known or (self.whole_numbers and spell_integer(token) in known)

    @property
    def _tokens(self) -> Mapping[str, int]:
        if self.vocabulary is None:
            raise InputError("a tokenizer of ids has no tokens")
        return self.vocabulary.tokens


Tokenizers: TypeAlias = tuple[Tokenizer, Tokenizer]


def require_tokenizers(value: Any) -> None:
    """Checks what a caller gives as the tokenizers of a model.

    Raises:
        InputError: it is neither None nor a pair of tokenizers.
    """
    is_pair = isinstance(value, tuple) and [type(each) for each in value] == [Tokenizer] * 2
    if value is not None and not is_pair:
        raise InputError(f"tokenizers={describe(value)} must be a pair of Tokenizer, or None")


def _require_text(token: Any) -> str:
    require_instance("token", token, str, "a text")
    return str(token)


def share_text_vocabulary(vocabulary: Vocabulary | TextTokenizer) -> Tokenizers:
    """The tokenizers of two sides that hold text of one vocabulary."""
    tokenizer = Tokenizer("text", vocabulary)
    return tokenizer, tokenizer


def _require_tokens(value: Any) -> list[str]:
    if not isinstance(value, Sequence) or not all(isinstance(token, str) for token in value):
        raise InputError(f"must be tokens, a text or a list of texts, but it is {describe(value)}")
    return [normalize_token(token, lowercase=True) for token in value]


def _require_ids(value: Any) -> list[int]:
    if not isinstance(value, Sequence):
        raise InputError(f"must be token ids, a text or a list, but it is {describe(value)}")
    for item in value:
        if type(item) is not int or not 0 <= item <= LARGEST_ID:
            raise InputError(f"{show(item)} {NO_ID}")
    return [*value]
