"""One model behind the contract: bytes in, bytes out. Knows no Flask.

The body is complete before a permit is taken, so a slow upload never keeps others from scoring.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.ragged import Ragged
from o2v_jax.records import Format, Records, decode, encode, sniff
from serving.capacity import Capacity
from serving.contract import choose_format, read_content_type
from serving.health import Health
from serving.settings import Settings

if TYPE_CHECKING:
    from o2v_jax.hyperparameters import Hyperparameters

Floats: TypeAlias = npt.NDArray[np.float32]
Lengths: TypeAlias = tuple[int, int] | None

WAITING_PLACES = 64


class ScorerLike(Protocol):
    """What serving needs of `o2v_jax.Scorer`."""

    config: "Hyperparameters"

    def score(self, in0: Ragged, in1: Ragged, *, max_seq_lens: Lengths = None) -> Floats:
        """Float32 `[records, numbers]`."""

    def embed(
        self,
        in0: Ragged | None = None,
        in1: Ragged | None = None,
        *,
        max_seq_lens: Lengths = None,
    ) -> Floats:
        """Float32 `[records, enc_dim]`."""

    def warm(self) -> object:
        """Compiles what requests will need."""


@dataclass(frozen=True)
class Answer:
    """The body of an answer, and its format."""

    body: bytes
    format: Format


class Service:
    """Answers invocations with one scorer, and notes how its device fares in `health`."""

    def __init__(self, scorer: ScorerLike, settings: Settings, health: Health) -> None:
        self.scorer, self.settings, self.health = scorer, settings, health
        sizes = [scorer.config.encoder(side).vocab_size for side in (0, 1)]
        self._vocab_sizes = sizes[0], sizes[1]
        self._capacity = Capacity(settings.max_concurrent, WAITING_PLACES)

    def answer(self, body: bytes, content_type: str | None, accept: str | None) -> Answer:
        """Scores pairs, or embeds single sides, whichever the records hold.

        Raises:
            RecordError, InputError: the request is wrong, or the server is busy.
        """
        sent = read_content_type(content_type)
        format_in = sent.format or sniff(body)
        format_out = choose_format(accept, self.settings.default_accept or format_in)
        with self._capacity.permit():
            records = decode(body, format_in, vocab_sizes=self._vocab_sizes)
            key, values = self._compute(records, sent.max_seq_lens)
            return Answer(encode(values, key, format_out), format_out)

    def _compute(
        self, records: Records, max_seq_lens: Lengths
    ) -> tuple[Literal["scores", "embeddings"], Floats]:
        if not len(records):
            return "scores", np.zeros((0, 1), np.float32)
        with self.health.watching():
            if records.paired:
                scores = self.scorer.score(records.in0, records.in1, max_seq_lens=max_seq_lens)
                return "scores", scores
            return "embeddings", self._embed(records, max_seq_lens)

    def _embed(self, records: Records, max_seq_lens: Lengths) -> Floats:
        out = np.empty((len(records), self.scorer.config.enc_dim), np.float32)
        if records.has0.any():
            out[records.has0] = self.scorer.embed(in0=records.in0, max_seq_lens=max_seq_lens)
        if records.has1.any():
            out[records.has1] = self.scorer.embed(in1=records.in1, max_seq_lens=max_seq_lens)
        return out
