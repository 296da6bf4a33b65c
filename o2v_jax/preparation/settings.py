"""Settings of a preparation: columns, vocabularies and labels of each side."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Index
from o2v_jax.constants import LONGEST_REQUEST
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.tokenizers import LARGEST_ID, Kind, Tokenizer
from o2v_jax.data.vocabulary import Vocabulary
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.preparation.cells import Words


@dataclass(frozen=True)
class Side:
    """Where in0 or in1 comes from.

    Attributes:
        column: a name, or a number from 0.
        kind: what its cells mean; see `o2v_jax.data.tokenizers`.
        vocab_size: the number of ids at most, those of padding and unknown tokens included.
        min_count: a token gets an id if it occurs this often in the training part.
        vocabulary: a JSON file of token -> id to use, instead of counting tokens.
    """

    column: str
    kind: Kind = "text"
    vocab_size: int = LARGEST_ID + 1
    min_count: int = 1
    vocabulary: Path | None = None


@dataclass(frozen=True, eq=False)
class Numbering:
    """From a token's number in `Words` to its id.

    Attributes:
        vocabulary: of these ids.
        ids: int64 `[numbers]`; -1 for tokens that are left out.
        known: bool `[numbers]`, which tokens the vocabulary has.
        integers: whether a token 1.0 that the vocabulary lacks is its token 1.
    """

    vocabulary: Vocabulary
    ids: Index
    known: npt.NDArray[np.bool_]
    integers: bool = False

    @classmethod
    def of(
        cls, words: Words, side: Side, given: Vocabulary | None, *, integers: bool = False
    ) -> "Numbering":
        """By the given vocabulary, or by the tokens counted so far.

        Args:
            words: the tokens.
            side: the limits of a vocabulary that is counted.
            given: a vocabulary to use instead.
            integers: whether a token 1.0 that the vocabulary lacks is its token 1.
        """
        limits = side.vocab_size, side.min_count
        vocabulary = given or words.vocabulary(*limits, integers=integers)
        ids = words.ids(vocabulary, integers=integers)
        return cls(vocabulary, ids, words.known(vocabulary, integers=integers), integers)

    def apply(self, rows: Ragged) -> tuple[Ragged, int]:
        """Sequences of ids for sequences of numbers; how many of the tokens are known."""
        ids = self.ids[rows.ids]
        kept = np.concatenate([[0], np.cumsum(ids >= 0)])
        applied = Ragged(ids[ids >= 0].astype(np.int32), kept[rows.offsets])
        return applied, int(self.known[rows.ids].sum())


def make_tokenizer(side: Side, numbering: Numbering | None) -> Tokenizer:
    """What gives raw values the ids that the numbering gives the cells of a side."""
    if numbering is None:
        return Tokenizer("ids")
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

    The networks are named because `enc1_network=enc0`, the default, would give enc1 enc0's sizes:
    pooled_embedding for single values, in which nothing has an order, and hcnn, the default.

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
    """One table of tokens needs equal token dimensions, which different networks do not have."""
    single = tuple(side.kind == "value" for side in sides)
    if shared:
        single = (all(single),) * 2
    first, second = ("pooled_embedding" if one else "hcnn" for one in single)
    return first, second
