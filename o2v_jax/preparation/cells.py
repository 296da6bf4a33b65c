"""Cells of a table as tokens: integers, words, and the numbers of words."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from o2v_jax.array_types import Ids, Index
from o2v_jax.data.arrow import is_list_type, spell_cells
from o2v_jax.data.ragged import Ragged, offsets_of
from o2v_jax.data.spelling import are_whole, spell_integer
from o2v_jax.data.text_tokenizers import TextTokenizer
from o2v_jax.data.tokenizers import LARGEST_ID, NO_ID, SPLITTERS, Kind, parse_ids
from o2v_jax.data.vocabulary import Vocabulary, normalize_token
from o2v_jax.errors import InputError
from o2v_jax.preparation.rows import Cells


class Words:
    """Every token seen, numbered by first occurrence, and how often each was counted.

    >>> words = Words()
    >>> numbers = words.number(["a", "man", "a"])
    >>> words.count(numbers)
    >>> words.make_vocabulary(size=3).tokens
    {'<pad>': 0, '<unk>': 1, 'a': 2}
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._counts = np.zeros(1024, np.int64)

    def number(self, tokens: Iterable[str]) -> Ids:
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

    def list_counts(self, *, integers: bool = False) -> "Counter[str]":
        """How often each token was counted; with `integers`, 1.0 as the token 1."""
        counted = Counter[str]()
        for token, count in zip(self._numbers, self._counts.tolist(), strict=False):
            counted[spell_integer(token) if integers else token] += count
        return +counted

    def are_whole(self) -> bool:
        """Whether tokens may be integers that became floats: see `are_whole`."""
        return are_whole(self._numbers)

    def find_floats(self, vocabulary: Vocabulary | TextTokenizer) -> Iterator[str]:
        """The tokens, such as 1.0, that the vocabulary has only as integers."""
        tokens = vocabulary.tokens
        return (t for t in self._numbers if t not in tokens and spell_integer(t) in tokens)

    def make_vocabulary(
        self, size: int, min_count: int = 1, *, integers: bool = False
    ) -> Vocabulary:
        """The most frequent counted tokens; of equally frequent ones the first in code point order.

        Args:
            size: the number of ids at most, `"<pad>"` (0) and `"<unk>"` (1) included.
            min_count: how often a token occurs at least.
            integers: whether 1.0 is the token 1.
        """
        counted = self.list_counts(integers=integers)
        return Vocabulary.from_counts({t: n for t, n in counted.items() if n >= min_count}, size)

    def find_ids(self, vocabulary: Vocabulary | TextTokenizer, *, integers: bool = False) -> Ragged:
        """A row a number with its token's id; empty if it is unknown and there is no `"<unk>"`.

        Args:
            vocabulary: of the ids.
            integers: whether 1.0 is the token 1 where the vocabulary lacks it.
        """
        tokens = vocabulary.tokens
        unknown = -1 if vocabulary.unknown_id is None else vocabulary.unknown_id
        found = [tokens.get(t, unknown) for t in self._numbers]
        if integers:
            found = [
                tokens.get(spell_integer(t), unknown) if t not in tokens else known
                for t, known in zip(self._numbers, found, strict=True)
            ]
        ids = np.array(found, np.int32)
        return Ragged(ids[ids >= 0], offsets_of((ids >= 0).astype(np.int64)))

    def find_subword_ids(self, tokenizer: TextTokenizer) -> Ragged:
        """A row a number with the ids of its word's parts."""
        return Ragged.of([tokenizer.encode_word(word) for word in self._numbers])

    def find_known(
        self, vocabulary: Vocabulary | TextTokenizer, *, integers: bool = False
    ) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Whether the vocabulary has the token of each number, bool `[numbers]`."""
        tokens = vocabulary.tokens
        has = (t in tokens or (integers and spell_integer(t) in tokens) for t in self._numbers)
        return np.fromiter(has, np.bool_, len(self._numbers))


EMPTY_CELL = "the cell is empty"
_LISTS = "lists of integers are ids, lists of strings are tokens"

# sequences, and what is wrong with a row
Sequences: TypeAlias = tuple[Ragged, dict[int, str]]


Splitter: TypeAlias = Callable[[str], list[str]]


def encode(kind: Kind, cells: Cells, words: Words, split: Splitter | None = None) -> Sequences:
    """The numbers of each cell's tokens in `words`, or its ids; and what is wrong, by row.

    An empty cell is wrong: it most often means that something is missing.

    Args:
        kind: what the cells hold.
        cells: of a column.
        words: all tokens so far.
        split: makes tokens of a text; default the one of the kind, which is the Treebank's of text.

    Raises:
        InputError: the cells hold lists that are not read as this kind.
    """
    if is_list_type(cells.type):
        rows, faults = _encode_lists(kind, cells, words)
    else:
        rows, faults = _encode_texts(cells, words, split or SPLITTERS.get(kind))
    empty = np.flatnonzero(rows.lengths == 0).tolist()
    return rows, dict.fromkeys(empty, EMPTY_CELL) | faults


def split_lists(kind: Kind, cells: Cells) -> tuple[Cells, Index]:
    """Cells of one object each, and the row that each is of, int64 `[objects]`.

    A cell that is a list holds several objects, unless a list is one object of this kind.

    >>> split_lists("value", pa.array([["a", "b"], None, ["c"]]))[1]
    array([0, 0, 2])
    """
    lists = is_list_type(cells.type)
    if lists and kind in ("ids", "tokens"):
        lists = is_list_type(cells.type.value_type)
    if not lists:
        return cells, np.arange(len(cells))
    single, counts = cells.flatten(), pc.list_value_length(cells).fill_null(0).to_numpy()
    if not is_list_type(single.type):
        single = spell_cells(single).fill_null("")
    return single, np.repeat(np.arange(len(cells)), counts)


def find_distinct(cells: Cells) -> tuple[list[str], Index]:
    """The different texts of a column, and for each row which of them it holds, int64 `[rows]`."""
    packed = cells.dictionary_encode()
    return packed.dictionary.to_pylist(), packed.indices.to_numpy().astype(np.int64)


def _encode_texts(cells: Cells, words: Words, split: Splitter | None) -> Sequences:
    texts, which = find_distinct(cells)  # people repeat texts, and tokenizing takes long
    if split is None:
        parsed = [_try_ids(text) for text in texts]
        found = [parsed[text][1] for text in which.tolist()]
        faults = {row: fault for row, fault in enumerate(found) if fault}
        return Ragged.of([ids for ids, _ in parsed]).take(which), faults
    tokens = [split(text) for text in texts]
    flat = words.number(token for row in tokens for token in row)
    return Ragged(flat, offsets_of(np.array([*map(len, tokens)], np.int64))).take(which), {}


def _try_ids(text: str) -> tuple[list[int], str]:
    """The ids of a text, and what is wrong with it."""
    try:
        return parse_ids(text), ""
    except InputError as error:
        return [], str(error)


def _encode_lists(kind: Kind, cells: Cells, words: Words) -> Sequences:
    """A list a cell, as Parquet has them."""
    lengths = pc.list_value_length(cells).fill_null(0).to_numpy().astype(np.int64)
    offsets = offsets_of(lengths)
    flat = cells.flatten()
    if pa.types.is_null(flat.type):
        flat = flat.cast(pa.int32() if kind == "ids" else pa.string())
    if kind == "ids" and (pa.types.is_integer(flat.type) or pa.types.is_floating(flat.type)):
        ids, wrong = _check_ids(flat)
        return Ragged(ids, offsets), _find_first_wrong(offsets, flat, wrong, NO_ID)
    if kind == "tokens" and (pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type)):
        numbers = words.number(
            normalize_token(token or "", lowercase=True) for token in flat.to_pylist()
        )
        missing = flat.is_null().to_numpy(zero_copy_only=False)
        return Ragged(numbers, offsets), _find_first_wrong(offsets, flat, missing, "is not a token")
    raise InputError(f"a column of type {cells.type} is not read as {kind}: {_LISTS}")


def _check_ids(flat: Cells) -> tuple[Ids, npt.NDArray[np.bool_]]:
    """Ids as int32 `[ids]`, 0 where wrong, and which are wrong."""
    missing = flat.is_null().to_numpy(zero_copy_only=False)
    values = flat.fill_null(0).to_numpy(zero_copy_only=False)
    wrong = missing | ~((values >= 0) & (values <= LARGEST_ID) & (values % 1 == 0))
    return np.where(wrong, 0, values).astype(np.int32), wrong


def _find_first_wrong(
    offsets: Index, flat: Cells, wrong: npt.NDArray[np.bool_], reason: str
) -> dict[int, str]:
    at = np.flatnonzero(wrong)
    rows, first = np.unique(np.searchsorted(offsets, at, side="right") - 1, return_index=True)
    shown = (flat[place].as_py() for place in at[first].tolist())
    return {
        row: f"{'null' if value is None else value} {reason}"
        for row, value in zip(rows.tolist(), shown, strict=True)
    }
