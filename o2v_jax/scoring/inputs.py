"""What callers hand to a Scorer: ids, raw values or encodings, read, validated and cut."""

from typing import Any

import numpy as np
import numpy.typing as npt

from o2v_jax.arguments import describe
from o2v_jax.array_types import Floats
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.raw_values import encode_raw_values
from o2v_jax.data.sequences import FlatSequences, flat
from o2v_jax.data.tokenizers import Tokenizers
from o2v_jax.data.validate import MaxSeqLens, require_in_vocabulary, resolve_max_seq_lens
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import Hyperparameters


class InputReader:
    """Reads what is scored with one model.

    Args:
        config: of the model.
        tokenizers: of the model; None: it takes ids alone.
    """

    def __init__(self, config: Hyperparameters, tokenizers: Tokenizers | None) -> None:
        self._config = config
        self._tokenizers = tokenizers
        self._vocab_sizes = [config.encoder(side).vocab_size for side in (0, 1)]
        self._max_seq_lens = resolve_max_seq_lens(config, None)

    def read_ids(self, side: int, rows: Any) -> Ragged:
        """Rows of ids, or of raw values that a tokenizer makes ids of."""
        return Ragged.of(encode_raw_values(rows, side, self._tokenizers))

    def read_objects(self, side: int, rows: Any) -> Ragged | Floats:
        """Ids, or encodings float32 `[n, enc_dim]`, whichever these numbers are."""
        encoded = encode_raw_values(rows, side, self._tokenizers)
        return encoded if isinstance(encoded, Ragged) else self._read_numbers(flat(encoded))

    def read_query(self, side: int, query: Any) -> Ragged | Floats:
        """One object, as the only row."""
        encoded = encode_raw_values([query], side, self._tokenizers)
        return encoded if isinstance(encoded, Ragged) else self._read_numbers(flatten_query(query))

    def validate(self, side: int, rows: Ragged, max_seq_lens: MaxSeqLens | None = None) -> Ragged:
        """The rows cut to their length, once all ids are known to be in the vocabulary.

        Raises:
            InputError: `max_seq_lens` is no pair of lengths in 1..5000.
            RecordError: an id is outside the vocabulary; says which.
        """
        if max_seq_lens is None:
            longest = self._max_seq_lens[side]
        else:
            longest = resolve_max_seq_lens(self._config, max_seq_lens)[side]
        require_in_vocabulary(rows, side, self._vocab_sizes[side])
        return rows.cut(longest)

    def _read_numbers(self, given: FlatSequences) -> Ragged | Floats:
        if given.is_float:
            return require_encodings(given, self._config.enc_dim)
        return Ragged.of_flat(given)


def flatten_query(query: Any) -> FlatSequences:
    """A single query, ids or encoding (of any array type), as one row.

    Raises:
        InputError: it is neither.
    """
    try:
        return flat([query])
    except InputError as error:
        expected = "the query must be one sequence of token ids, or its encoding"
        raise InputError(f"{expected}, got {describe(query)}") from error


def require_encodings(rows: FlatSequences, enc_dim: int) -> npt.NDArray[np.float32]:
    """Encodings, of any floating-point type, as float32 `[n, enc_dim]`.

    Raises:
        InputError: they have another shape.
    """
    wrong = rows.lengths[rows.lengths != enc_dim]
    if len(wrong):
        raise InputError(f"encodings must be [n, {enc_dim}], but one has {wrong[0]} numbers")
    return rows.values.reshape(-1, enc_dim).astype(np.float32, copy=False)
