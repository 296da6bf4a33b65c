"""A scorer whose results tell which records it was given, and that tests can hold up and break."""

import threading

import numpy as np

from o2v_jax import Hyperparameters
from o2v_jax.data.deduplicate import expand_rows
from o2v_jax.scoring import choose_shapes


class LengthScorer:
    """Scores a pair by its lengths, when it is let, so that a test sees order and overlap."""

    config = Hyperparameters(enc0_max_seq_len=8, enc0_vocab_size=40, enc_dim=16)
    shapes = choose_shapes(config)
    tokenizers = None
    class_names = ()
    useful_tokens = computed_tokens = compiled = waits = 0

    def __init__(self):
        self.may_warm, self.may_warm_all = threading.Event(), threading.Event()
        self.may_score = threading.Event()
        self.may_score.set()
        self.may_warm_all.set()
        self.started = threading.Semaphore(0)
        self.error = None
        self.fails_at = ()
        self.calls = []

    def warm_first(self):
        assert self.may_warm.wait(10)
        if self.error:
            raise self.error

    def warm(self, **_):
        assert self.may_warm_all.wait(10)
        if self.error:
            raise self.error

    def score(self, in0, in1, **_):
        self._call(in0.lengths)
        return np.float32([[a + b / 100] for a, b in zip(in0.lengths, in1.lengths, strict=True)])

    def embed(self, in0=None, in1=None, **_):
        rows, sign = (in0, 1) if in1 is None else (in1, -1)
        self._call(rows.lengths)
        return sign * np.repeat(np.float32(rows.lengths)[:, None], self.config.enc_dim, axis=1)

    def score_validated(self, in0, in1):
        return self.score(expand_rows(in0), expand_rows(in1))

    def embed_validated(self, side, rows):
        return self.embed(**{f"in{side}": expand_rows(rows)})

    def _call(self, lengths):
        self.calls.append(lengths.tolist())
        number = len(self.calls)
        self.started.release()
        assert self.may_score.wait(10)
        if self.error and (not self.fails_at or number in self.fails_at):
            raise self.error
