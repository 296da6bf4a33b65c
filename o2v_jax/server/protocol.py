"""The part of `o2v_jax.Scorer` that serving needs, so that tests can serve others."""

from typing import TYPE_CHECKING, Literal, Protocol

from o2v_jax.array_types import Floats
from o2v_jax.data.deduplicate import AnyRagged

if TYPE_CHECKING:
    from o2v_jax.data.tokenizers import Tokenizers
    from o2v_jax.hyperparameters import Hyperparameters
    from o2v_jax.scoring import ShapeTable


class ScorerLike(Protocol):
    """As `o2v_jax.Scorer`. Two threads score while another warms up.

    Attributes:
        config: of the model.
        shapes: its padded shapes.
        tokenizers: of the model, or None.
        class_names: of the model.
    """

    config: "Hyperparameters"
    shapes: "ShapeTable"
    tokenizers: "Tokenizers | None"
    class_names: tuple[str, ...]

    @property
    def useful_tokens(self) -> int:
        """Tokens of all objects encoded so far."""

    @property
    def computed_tokens(self) -> int:
        """Tokens of all objects encoded so far, with the padding."""

    @property
    def compiled(self) -> int:
        """Programs compiled so far."""

    @property
    def waits(self) -> int:
        """How often a call waited for a program to be compiled."""

    def score_validated(self, in0: AnyRagged, in1: AnyRagged) -> Floats:
        """Float32 `[records, numbers]`."""

    def embed_validated(self, side: Literal[0, 1], rows: AnyRagged) -> Floats:
        """Float32 `[records, enc_dim]`."""

    def warm_first(self) -> int:
        """Compiles the programs with which every usual request can be answered."""

    def warm(self, *, longer: bool = False) -> int:
        """Compiles what requests will need; `longer`: also for sequences above max_seq_len."""
