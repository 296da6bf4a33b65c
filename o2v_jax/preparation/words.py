"""Tokens by number: what stands for a token while the vocabulary is not known yet."""

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from o2v_jax.data.ragged import Ids, Index
from o2v_jax.data.vocabulary import PADDING, UNKNOWN, Vocabulary
from o2v_jax.preparation.whole import are_whole, whole


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

    def are_whole(self) -> bool:
        """Whether tokens may be integers that became floats: see `are_whole`."""
        return are_whole(self._numbers)

    def became_floats(self, vocabulary: Vocabulary) -> Iterator[str]:
        """The tokens that the vocabulary has as integers alone."""
        tokens = vocabulary.tokens
        return (t for t in self._numbers if t not in tokens and whole(t) in tokens)

    def vocabulary(self, size: int, min_count: int = 1, *, integers: bool = False) -> Vocabulary:
        """The most frequent counted tokens; of equally frequent ones the first in code point order.

        Args:
            size: the number of ids at most, `"<pad>"` (0) and `"<unk>"` (1) included.
            min_count: how often a token stands there at least.
            integers: whether 1.0 is the token 1.
        """
        counted = Counter[str]()
        for token, count in zip(self._numbers, self._counts.tolist(), strict=False):
            counted[whole(token) if integers else token] += count
        counted = Counter({t: n for t, n in counted.items() if n >= max(min_count, 1)})
        ranked = sorted(counted.keys() - {PADDING, UNKNOWN}, key=lambda key: (-counted[key], key))
        names = (PADDING, UNKNOWN, *ranked[: max(size - 2, 0)])
        return Vocabulary({token: place for place, token in enumerate(names)})

    def ids(self, vocabulary: Vocabulary, *, integers: bool = False) -> Index:
        """For each number the token's id, int64 `[numbers]`.

        A token that the vocabulary lacks has the id of `"<unk>"`, or -1 if it has none.

        Args:
            vocabulary: of the ids.
            integers: whether 1.0 is the token 1 where the vocabulary lacks it.
        """
        tokens = vocabulary.tokens
        unknown = vocabulary.tokens.get(UNKNOWN, -1)
        ids = [tokens.get(t, unknown) for t in self._numbers]
        if integers:
            ids = [
                tokens.get(whole(t), unknown) if t not in tokens else known
                for t, known in zip(self._numbers, ids, strict=True)
            ]
        return np.array(ids, np.int64)

    def known(
        self, vocabulary: Vocabulary, *, integers: bool = False
    ) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """For each number whether the vocabulary has the token, bool `[numbers]`."""
        tokens = vocabulary.tokens
        has = (t in tokens or (integers and whole(t) in tokens) for t in self._numbers)
        return np.fromiter(has, np.bool_, len(self._numbers))
