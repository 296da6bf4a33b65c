"""Settings of a preparation: columns, vocabularies and labels of each side."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from o2v_jax.constants import LONGEST_REQUEST
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.text_tokenizers import TextTokenizer, read_vocabulary, split_words
from o2v_jax.data.tokenizers import LARGEST_ID, SPLITTERS, Kind, Tokenizer
from o2v_jax.data.vocabulary import UNKNOWN, Vocabulary, tokenize
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.preparation.cells import Splitter, Words
from o2v_jax.preparation.subwords import DEFAULT_SIZE, train_subwords

# what can be chosen for texts; a tokenizer.json may hold others
Algorithm: TypeAlias = Literal["word", "bpe", "wordpiece", "treebank"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
SUBWORDS = ("bpe", "wordpiece")

Given: TypeAlias = Vocabulary | TextTokenizer | None
GivenSides: TypeAlias = tuple[Given, Given]
Splitters: TypeAlias = tuple[Splitter | None, Splitter | None]


@dataclass(frozen=True)
class Side:
    """Where in0 or in1 comes from.

    Attributes:
        column: a name, or a number from 0.
        kind: what its cells mean; see `o2v_jax.data.tokenizers`.
        vocab_size: the number of ids at most, those of padding and unknown tokens included; None:
            as many as there may be, of subwords 30,000.
        min_count: a token gets an id if it occurs this often in the training part.
        vocabulary: a JSON file of token -> id, or of text also a tokenizer.json, to use instead of
            counting tokens.
        tokenizer: what splits texts; None: "word", or that of a given tokenizer.json. Words are
            counted, and "bpe" and "wordpiece" trained on them.
    """

    column: str
    kind: Kind = "text"
    vocab_size: int | None = None
    min_count: int = 1
    vocabulary: Path | None = None
    tokenizer: Algorithm | None = None

    @property
    def is_subword(self) -> bool:
        """Whether a tokenizer of subwords is to be trained."""
        return self.kind == "text" and self.tokenizer in SUBWORDS

    @property
    def largest_size(self) -> int:
        """The number of ids at most."""
        return self.vocab_size or (DEFAULT_SIZE if self.is_subword else LARGEST_ID + 1)

    def choose_split(self, given: Given) -> Splitter | None:
        """The function that makes tokens of a cell's text; None: it holds ids."""
        if self.kind != "text":
            return SPLITTERS.get(self.kind)
        if isinstance(given, TextTokenizer):
            return given.split
        return tokenize if self.tokenizer == "treebank" else split_words


def find_contradictions(sides: tuple[Side, Side], *, shared: bool) -> Iterator[str]:
    """A sentence for each contradiction between the settings of two sides."""
    kinds = [side.kind for side in sides]
    if shared and kinds.count("ids") == 1:
        yield "a shared vocabulary needs ids in both columns or in neither"
    for at, side in enumerate(sides):
        if side.tokenizer and side.kind != "text":
            yield f"in{at} holds {side.kind}, but a tokenizer is for text"
    names = {side.tokenizer if side.kind == "text" else None for side in sides}
    if shared and names & {*SUBWORDS} and len(names) > 1:
        yield "subwords can be shared only by two columns of text with the same tokenizer"


def choose_splits(sides: tuple[Side, Side], given: GivenSides) -> Splitters:
    """The functions that make tokens of the cells of each side."""
    first, second = sides
    return first.choose_split(given[0]), second.choose_split(given[1])


def read_given(side: Side) -> Given:
    """The vocabulary or the tokenizer that was given for a side; None: tokens are counted instead.

    Raises:
        InputError: it cannot be read, is wrong, or does not suit the side.
    """
    if side.vocabulary is None:
        return None
    given = read_vocabulary(side.vocabulary)
    check_given(side, given)
    return given


def check_given(side: Side, given: Vocabulary | TextTokenizer) -> None:
    """Checks that the vocabulary or the tokenizer given for a side suits it.

    Raises:
        InputError: it does not.
    """
    if isinstance(given, TextTokenizer):
        if side.kind != "text":
            raise InputError(f"{side.vocabulary}: a tokenizer splits texts, not {side.kind}")
        if side.tokenizer not in (None, given.algorithm):
            reason = f'holds a tokenizer "{given.algorithm}", not {side.tokenizer}'
            raise InputError(f"{side.vocabulary}: {reason}")
    elif side.is_subword:
        raise InputError(
            f"{side.vocabulary}: holds only tokens, but {side.tokenizer} needs a tokenizer.json"
        )
    elif side.kind == "text" and side.tokenizer != "treebank" and given.unknown_id is None:
        raise InputError(
            f"{side.vocabulary}: has no {UNKNOWN!r}, which the word tokenizer needs: add it, or "
            "choose treebank, which drops unknown words"
        )


@dataclass(frozen=True, eq=False)
class Numbering:
    """A map from the numbers of tokens in `Words` to ids.

    Attributes:
        vocabulary: of these ids.
        ids: a row of ids for each number: one id, several of subwords, or none of what is left out.
        known: bool `[numbers]`, which tokens the vocabulary has.
        integers: whether a token 1.0 that the vocabulary lacks is its token 1.
    """

    vocabulary: Vocabulary | TextTokenizer
    ids: Ragged
    known: npt.NDArray[np.bool_]
    integers: bool = False

    @classmethod
    def of(
        cls, words: Words, side: Side, given: Given = None, *, integers: bool = False
    ) -> "Numbering":
        """A numbering by what is given, or by the tokens counted so far.

        Args:
            words: the tokens.
            side: the limits of a vocabulary that is counted.
            given: to use instead.
            integers: whether a token 1.0 that the vocabulary lacks is its token 1.
        """
        if given is None and side.is_subword:
            counted = words.list_counts()
            given = train_subwords(str(side.tokenizer), counted, side.largest_size, side.min_count)
            ids = words.find_subword_ids(given)
            return cls(given, ids, _find_lacking(ids, given.unknown_id))
        limits = side.largest_size, side.min_count
        vocabulary = given or words.make_vocabulary(*limits, integers=integers)
        ids = words.find_ids(vocabulary, integers=integers)
        if isinstance(vocabulary, TextTokenizer):
            # what its `split` makes of an unknown word may be the unknown token
            return cls(vocabulary, ids, _find_lacking(ids, vocabulary.unknown_id))
        return cls(vocabulary, ids, words.find_known(vocabulary, integers=integers), integers)

    @cached_property
    def word_tokenizer(self) -> TextTokenizer:
        """The tokenizer of texts whose words have these ids."""
        if isinstance(self.vocabulary, TextTokenizer):
            return self.vocabulary
        return TextTokenizer.word_level(self.vocabulary)

    def apply(self, rows: Ragged) -> tuple[Ragged, int]:
        """Sequences of ids for sequences of numbers, and how many of the tokens are known."""
        found = self.ids.take(rows.ids)
        return Ragged(found.ids, found.offsets[rows.offsets]), int(self.known[rows.ids].sum())


def _find_lacking(rows: Ragged, index: int | None) -> npt.NDArray[np.bool_]:
    """Which rows are not empty and lack this id (None: it has no row): bool `[rows]`."""
    lacking = rows.lengths > 0
    if index is not None:
        at = np.flatnonzero(rows.ids == index)
        lacking[np.searchsorted(rows.offsets, at, side="right") - 1] = False
    return lacking


def make_tokenizer(side: Side, numbering: Numbering | None) -> Tokenizer:
    """The tokenizer that gives raw values the ids that the numbering gives the cells of a side."""
    if numbering is None:
        return Tokenizer("ids")
    if side.kind == "text" and side.tokenizer != "treebank":
        return Tokenizer("text", numbering.word_tokenizer)
    integers = numbering.integers and side.kind == "value"
    return Tokenizer(side.kind, numbering.vocabulary, whole_numbers=integers)


def make_settings(
    sides: tuple[Side, Side],
    vocab_sizes: tuple[int, int],
    longest: tuple[int, int],
    from_labels: Mapping[str, str],
    *,
    shared: bool,
) -> dict[str, str]:
    """Hyperparameters by name, as the text that `o2v train --hyperparameters` reads.

    Both networks are named, because `enc1_network=enc0`, the default, would give enc1 the sizes of
    enc0. A side of single values, which have no order, gets pooled_embedding; any other gets hcnn.

    Args:
        sides: of the records.
        vocab_sizes: of each side.
        longest: the longest sequence of each side.
        from_labels: those that follow from the labels.
        shared: whether both sides have one vocabulary, so that they can have one token table.

    Raises:
        HyperparameterError: the data is outside what the hyperparameters can say.
    """
    found: dict[str, str] = {}
    networks = _choose_networks(sides, shared=shared)
    for at in (0, 1):
        found[f"enc{at}_network"] = networks[at]
        found[f"enc{at}_vocab_size"] = str(vocab_sizes[at])
        found[f"enc{at}_max_seq_len"] = str(min(longest[at], LONGEST_REQUEST))
    found |= {"tied_token_embedding_weight": "True"} if shared else {}
    found |= from_labels
    Hyperparameters.from_strings(found)
    return found


def _choose_networks(sides: tuple[Side, Side], *, shared: bool) -> tuple[str, str]:
    """A shared token table needs equal token dimensions, which different networks do not have."""
    single = tuple(side.kind == "value" for side in sides)
    if shared:
        single = (all(single),) * 2
    first, second = ("pooled_embedding" if one else "hcnn" for one in single)
    return first, second
