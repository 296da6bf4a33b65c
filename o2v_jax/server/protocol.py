"""What serving needs of a scorer, so that tests can serve others than `o2v_jax.Scorer`."""

from typing import TYPE_CHECKING, Protocol, TypeAlias

from o2v_jax.data.ragged import Ragged
from o2v_jax.server.queue import Floats

if TYPE_CHECKING:
    from o2v_jax.hyperparameters import Hyperparameters
    from o2v_jax.scoring import Layout

Lengths: TypeAlias = tuple[int, int] | None


class ScorerLike(Protocol):
    """As `o2v_jax.Scorer`. Two threads score while another warms up.

    Attributes:
        config: of the model.
        layout: its padded shapes.
    """

    config: "Hyperparameters"
    layout: "Layout"

    @property
    def useful_tokens(self) -> int:
        """Tokens of all objects encoded so far."""

    @property
    def computed_tokens(self) -> int:
        """The same with the padding."""

    @property
    def compiled(self) -> int:
        """Programs compiled so far."""

    @property
    def waits(self) -> int:
        """How often a call waited for a program to be compiled."""

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

    def warm_first(self) -> int:
        """Compiles the few programs with which every usual request can be answered."""

    def warm(self, *, longer: bool = False) -> int:
        """Compiles what requests will need; `longer`: also for sequences above max_seq_len."""
