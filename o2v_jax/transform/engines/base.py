"""What every engine of batch transform offers, and what it takes."""

from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from o2v_jax.errors import O2VError
from o2v_jax.transform.read.parts import Part, Position
from o2v_jax.transform.settings import FileSettings
from o2v_jax.transform.write.answers import RecordCounts


class PartResults(Protocol):
    """Results of some records of a part."""

    def encode(
        self, settings: FileSettings, *, skip: bool, counts: RecordCounts
    ) -> Iterator[bytes]:
        """Yields the encoded results, in pieces, and adds their records to `counts`.

        Raises:
            RecordError, InputError: fails the file.
        """


class Step(NamedTuple):
    """What is to be done for a file: one of three things.

    Attributes:
        number: the file's.
        work: of an engine, to be computed and written.
        end: of a part, all of whose results have been written.
        error: that fails the file.
    """

    number: int
    work: Any = None
    end: Position | None = None
    error: O2VError | None = None


class Engine(Protocol):
    """Computes results; its `works` are called in one thread, and `results` in another."""

    @property
    def identity(self) -> str:
        """Equal for engines that give equal results."""

    @property
    def knows_model(self) -> bool:
        """Whether another model would have another identity."""

    @property
    def padding(self) -> float | None:
        """The share of what was computed that was padding, if that is known."""

    def split_work(
        self, part: Part, name: str, settings: FileSettings, *, skip: bool
    ) -> Iterator[Any]:
        """Yields what is computed at a time, in order.

        Raises:
            RecordError: the first bad record, if they are not skipped.
        """

    def compute(self, steps: Iterable[Step]) -> Generator[tuple[Step, PartResults | None]]:
        """Yields the steps in order, each that has work with its results."""
