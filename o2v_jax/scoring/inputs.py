"""Checks on what a caller hands to a Scorer."""

import numpy as np

from o2v_jax.errors import InputError, RecordError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.ragged import Ragged
from o2v_jax.scoring.layout import LONGEST_REQUEST


def checked(rows: Ragged, side: int, vocab_size: int) -> Ragged:
    """The rows, if all their ids lie in the vocabulary.

    Raises:
        RecordError: names the first id outside it.
    """
    outside = (rows.ids < 0) | (rows.ids >= vocab_size)
    if outside.any():
        at = int(outside.argmax())
        record = int(np.searchsorted(rows.offsets, at, side="right")) - 1
        where = f"record {record}: in{side}[{at - int(rows.offsets[record])}]"
        bounds = f"0..{vocab_size - 1}"
        raise RecordError(where, f"{rows.ids[at]} is outside the vocabulary {bounds}")
    return rows


def cut_lengths(config: Hyperparameters, max_seq_lens: tuple[int, int] | None) -> tuple[int, int]:
    """Where sequences are cut: at `max_seq_lens` if given, else at the model's max_seq_len.

    Raises:
        InputError: one of them is outside 1..5000.
    """
    if max_seq_lens is None:
        return config.encoder(0).max_seq_len, config.encoder(1).max_seq_len
    if not all(1 <= length <= LONGEST_REQUEST for length in max_seq_lens):
        raise InputError(f"max_seq_lens must lie in 1..{LONGEST_REQUEST}, got {max_seq_lens}")
    return max_seq_lens
