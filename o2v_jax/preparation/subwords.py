"""Subword tokenizers trained on counted words: the same counts give the same tokenizer."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from o2v_jax.data.text_tokenizers import TextTokenizer
from o2v_jax.data.vocabulary import PADDING, UNKNOWN
from o2v_jax.extras import require_extra

DEFAULT_SIZE = 30_000  # of ids, as the library's trainers have it

_RESERVED = (PADDING, UNKNOWN)
_CONTINUING = "##"  # how WordPiece marks what does not begin a word
_LONGEST_WORD = 100  # characters; longer ones are hardly words, and WordPiece's default skips them
_WORDS_PER_TEXT = 1000
# Symbols are written as single characters from here on: none of them is a blank or a surrogate.
_FIRST_SYMBOL = 0x10000


def train_subwords(
    algorithm: str, words: Mapping[str, int], size: int, min_count: int = 1
) -> TextTokenizer:
    """Trains BPE (Sennrich et al. 2016), or WordPiece with the merges of BPE.

    The library's own trainer of WordPiece numbers its first symbols in the order of a hash table,
    which differs from run to run. So both are trained as BPE, of symbols that are written as single
    characters: characters, and of WordPiece those that begin a word and all others apart.

    Args:
        algorithm: "bpe" or "wordpiece".
        words: how often each word occurs, of those that `split_words` makes.
        size: the number of ids at most, `"<pad>"` (0) and `"<unk>"` (1) included.
        min_count: how often a character, and a pair that becomes a token, occurs at least.

    Raises:
        MissingExtraError: the `tokenizers` library is not installed.

    >>> train_subwords("bpe", {"low": 5, "lower": 2}, size=9).split("lowest")
    ['low', 'e', '<unk>', '<unk>']
    >>> train_subwords("wordpiece", {"low": 5, "lower": 2}, size=9).split("lower")
    ['low', '##e', '##r']
    """
    require_extra("text", f"training the tokenizer {algorithm}", "tokenizers")
    from tokenizers import models  # noqa: PLC0415  its import is for those who need it

    symbols = _Symbols(algorithm == "wordpiece", words, size - len(_RESERVED), min_count)
    trained = _train(symbols.write(words), symbols.characters, size, min_count)
    vocabulary = {symbols.spell(token): index for token, index in trained["vocab"].items()}
    if algorithm == "wordpiece":
        model = models.WordPiece(
            vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=_LONGEST_WORD
        )
        return TextTokenizer.of_model(model)
    merges = [(symbols.spell(first), symbols.spell(second)) for first, second in trained["merges"]]
    return TextTokenizer.of_model(models.BPE(vocabulary, merges, unk_token=UNKNOWN))


class _Symbols:
    """What tokens are made of, each written as one character.

    Args:
        marks: whether a character that begins a word is another symbol than elsewhere.
        words: how often each word occurs.
        most: the number of symbols at most: the most frequent, of equal ones by code point.
        min_count: how often a symbol occurs at least.
    """

    def __init__(self, marks: bool, words: Mapping[str, int], most: int, min_count: int) -> None:
        self._marks = marks
        counts = Counter[str]()
        for word, count in words.items():
            for symbol in self._split(word):
                counts[symbol] += count
        frequent = [symbol for symbol, count in counts.items() if count >= min_count]
        kept = sorted(frequent, key=lambda symbol: (-counts[symbol], symbol))[: max(most, 0)]
        self._written = {symbol: chr(_FIRST_SYMBOL + at) for at, symbol in enumerate(sorted(kept))}
        self._spelt = {character: symbol for symbol, character in self._written.items()}

    @property
    def characters(self) -> list[str]:
        """Those that stand for symbols, in their order."""
        return [*self._spelt]

    def write(self, words: Mapping[str, int]) -> Iterator[str]:
        """Texts in which each word stands as often as it occurs."""
        for word, count in words.items():
            written = [self._written.get(symbol, " ") for symbol in self._split(word)]
            if self._marks and " " in written:
                continue  # WordPiece has no tokens for a part of such a word
            for first in range(0, count, _WORDS_PER_TEXT):
                yield " ".join(["".join(written)] * min(_WORDS_PER_TEXT, count - first))

    def spell(self, token: str) -> str:
        """A token as the tokenizer's model has it."""
        if token in _RESERVED:
            return token
        first, *others = (self._spelt[character] for character in token)
        return first + "".join(other.removeprefix(_CONTINUING) for other in others)

    def _split(self, word: str) -> list[str]:
        if len(word) > _LONGEST_WORD:
            return []
        if not self._marks:
            return [*word]
        return [*word[:1], *(_CONTINUING + character for character in word[1:])]


def _train(
    texts: Iterator[str], alphabet: list[str], size: int, min_count: int
) -> Mapping[str, Any]:
    """The model that BPE's trainer makes of texts, as tokenizer.json has it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: PLC0415

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_count,
        special_tokens=[*_RESERVED],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model: Mapping[str, Any] = json.loads(tokenizer.to_str())["model"]
    return model
