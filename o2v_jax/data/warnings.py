"""Warnings of data that is valid, but perhaps not what was meant; each is given once."""

import logging

import numpy as np

from o2v_jax.data.ragged import Ragged
from o2v_jax.hyperparameters import Hyperparameters

log = logging.getLogger(__name__)


class DataWarnings:
    """Logs each warning once, however much data it checks."""

    def __init__(self, config: Hyperparameters) -> None:
        self._config = config
        self._said: set[str] = set()

    def check(self, side: int, rows: Ragged, name: str) -> None:
        """Warns of over-long sequences and of id 0 in front of other ids.

        Args:
            side: 0 for in0, 1 for in1.
            rows: sequences before they are cut.
            name: where they come from.
        """
        longest = self._config.encoder(side).max_seq_len
        self.warn(side, int((rows.lengths > longest).sum()), zero_inside(rows), name)

    def warn(self, side: int, over: int, zero: bool, name: str) -> None:
        """As `check`, for what was counted already.

        Args:
            side: 0 for in0, 1 for in1.
            over: how many sequences are longer than max_seq_len.
            zero: whether id 0 stands before another id in any.
            name: where they come from.
        """
        if over:
            limit = f"enc{side}_max_seq_len={self._config.encoder(side).max_seq_len}"
            self._warn_once(f"{name}: in{side}: {over} sequences are cut to {limit}", f"cut{side}")
        if zero:
            meaning = "id 0 is padding and is ignored, but stands before other ids"
            self._warn_once(f"{name}: in{side}: {meaning}", f"zero{side}")

    def _warn_once(self, message: str, kind: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            log.warning(message)


def zero_inside(rows: Ragged) -> bool:
    """Whether in any row id 0 stands before another id.

    >>> zero_inside(Ragged.of([[3, 0, 0], [0], []])), zero_inside(Ragged.of([[3, 0, 4]]))
    (False, True)
    """
    zero = rows.ids == 0
    followed = zero[:-1] & ~zero[1:]
    starts = np.zeros(len(rows.ids) + 1, np.bool_)
    starts[rows.offsets] = True  # what stands there begins a row, or the end
    return bool((followed & ~starts[1 : len(rows.ids)]).any())
