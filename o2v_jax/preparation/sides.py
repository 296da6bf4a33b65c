"""A side of the records: the column it comes from, and the ids that its tokens get."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from o2v_jax.data.ragged import Index, Ragged
from o2v_jax.data.vocabulary import Vocabulary
from o2v_jax.preparation.cells import LARGEST_ID, Kind
from o2v_jax.preparation.words import Words


@dataclass(frozen=True)
class Side:
    """Where in0 or in1 comes from.

    Attributes:
        column: a name, or a number from 0.
        kind: what its cells mean; see `o2v_jax.preparation.cells`.
        vocab_size: the number of ids at most, those of padding and unknown tokens included.
        min_count: a token gets an id if it stands this often in the training part.
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
    """

    vocabulary: Vocabulary
    ids: Index
    known: npt.NDArray[np.bool_]

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
        return cls(vocabulary, ids, words.known(vocabulary, integers=integers))

    def apply(self, rows: Ragged) -> tuple[Ragged, int]:
        """Sequences of ids for sequences of numbers; how many of the tokens are known."""
        ids = self.ids[rows.ids]
        kept = np.concatenate([[0], np.cumsum(ids >= 0)])
        applied = Ragged(ids[ids >= 0].astype(np.int32), kept[rows.offsets])
        return applied, int(self.known[rows.ids].sum())
