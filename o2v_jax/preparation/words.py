"""Tokens by number: what stands for a token while the vocabulary is not known yet."""

from collections.abc import Iterable

import numpy as np

from o2v_jax.ragged import Ids, Index
from o2v_jax.vocabulary import PADDING, UNKNOWN, Vocabulary


class Words:
    """Every token seen, numbered by first sight, and how often those to be learnt stood there.

    >>> words = Words()
    >>> numbers = words.numbers(["a", "man", "a"])
    >>> words.count(numbers)
    >>> words.vocabulary(size=3).tokens
    {'<pad>': 0, '<unk>': 1, 'a': 2}
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._counts = np.zeros(1024, np.int64)

    def numbers(self, tokens: Iterable[str]) -> Ids:
        """The numbers of tokens, int32 `[tokens]`; a new token gets the next one."""
        known = self._numbers
        # len(known) is taken before the token comes in
        return np.array([known.setdefault(token, len(known)) for token in tokens], np.int32)

    def count(self, numbers: Ids) -> None:
        """Counts tokens of the training part."""
        distinct, counts = np.unique(numbers, return_counts=True)
        if len(self._numbers) > len(self._counts):
            room = 2 * len(self._numbers) - len(self._counts)
            self._counts = np.pad(self._counts, (0, room))
        self._counts[distinct] += counts

    def vocabulary(self, size: int, min_count: int = 1) -> Vocabulary:
        """The most frequent counted tokens; of equally frequent ones the first in code point order.

        Args:
            size: the number of ids at most, `"<pad>"` (0) and `"<unk>"` (1) included.
            min_count: how often a token stands there at least.
        """
        counts = self._counts.tolist()
        counted = {
            token: counts[number]
            for token, number in self._numbers.items()
            if number < len(counts) and counts[number] >= max(min_count, 1)
        }
        ranked = sorted(counted.keys() - {PADDING, UNKNOWN}, key=lambda key: (-counted[key], key))
        names = (PADDING, UNKNOWN, *ranked[: max(size - 2, 0)])
        return Vocabulary({token: place for place, token in enumerate(names)})

    def ids(self, vocabulary: Vocabulary) -> Index:
        """For each number the token's id, int64 `[numbers]`.

        A token that the vocabulary lacks has the id of `"<unk>"`, or -1 if it has none.
        """
        unknown = vocabulary.tokens.get(UNKNOWN, -1)
        return np.array([vocabulary.tokens.get(t, unknown) for t in self._numbers], np.int64)

    def known(self, vocabulary: Vocabulary) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """For each number whether the vocabulary has the token, bool `[numbers]`."""
        return np.array([token in vocabulary.tokens for token in self._numbers], np.bool_)
