"""Checks on what a caller hands to a Scorer."""

import numpy as np

from o2v_jax.arguments import describe, require_integer
from o2v_jax.data.ragged import Ragged
from o2v_jax.errors import InputError, RecordError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.limits import LONGEST_REQUEST


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
        InputError: they are not two lengths in 1..5000.
    """
    if max_seq_lens is None:
        return config.encoder(0).max_seq_len, config.encoder(1).max_seq_len
    is_pair = isinstance(max_seq_lens, tuple | list) and len(max_seq_lens) == 2  # noqa: PLR2004
    if not is_pair:
        bounds = f"two lengths in 1..{LONGEST_REQUEST}"
        raise InputError(f"max_seq_lens must be {bounds}, got {describe(max_seq_lens)}")
    one, two = (
        require_integer(f"max_seq_lens[{side}]", length, 1, LONGEST_REQUEST)
        for side, length in enumerate(max_seq_lens)
    )
    return one, two
