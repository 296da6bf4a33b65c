"""One model behind the contract: bytes in, bytes out. Knows no Flask.

The body is complete before a permit is taken, so a slow upload never keeps others from scoring.
"""

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.ragged import Ragged
from o2v_jax.records import Format, Records, decode, encode, sniff
from serving.capacity import UPLOADS, WAITING_PLACES, Capacity
from serving.contract import TooLargeError, choose_format, read_body, read_content_type
from serving.health import Health
from serving.settings import Settings

if TYPE_CHECKING:
    from o2v_jax.hyperparameters import Hyperparameters

Floats: TypeAlias = npt.NDArray[np.float32]
Lengths: TypeAlias = tuple[int, int] | None

MAX_NUMBERS = 2**24  # in an answer: 64 MiB of float32, a few times as much as text


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
        self._uploads = Capacity(UPLOADS, places=0)
        self._capacity = Capacity(settings.max_concurrent, WAITING_PLACES)

    def read(self, stream: IO[bytes], announced: int | None) -> bytes:
        """Reads a body, unless there are enough uploads already: each holds a thread meanwhile.

        Args:
            stream: the body.
            announced: Content-Length, if there is one.

        Raises:
            InputError: as `read_body`; `BusyError` at once, not a byte read.
        """
        with self._uploads.permit():
            return read_body(stream, announced, self.settings.max_body_bytes)

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
            self._require_room(records)
            key, values = self._compute(records, sent.max_seq_lens)
            return Answer(encode(values, key, format_out), format_out)

    def _require_room(self, records: Records) -> None:
        config = self.scorer.config
        numbers = len(records) * (config.outputs if records.paired else config.enc_dim)
        if numbers > MAX_NUMBERS:
            raise TooLargeError(
                f"the answer would hold {numbers} numbers, but at most {MAX_NUMBERS} can be sent: "
                "send fewer records at a time"
            )

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
        if records.has0.all():
            return self.scorer.embed(in0=records.in0, max_seq_lens=max_seq_lens)
        if records.has1.all():
            return self.scorer.embed(in1=records.in1, max_seq_lens=max_seq_lens)
        out = np.empty((len(records), self.scorer.config.enc_dim), np.float32)
        out[records.has0] = self.scorer.embed(in0=records.in0, max_seq_lens=max_seq_lens)
        out[records.has1] = self.scorer.embed(in1=records.in1, max_seq_lens=max_seq_lens)
        return out
