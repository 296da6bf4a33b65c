"""What a preparation found and wrote."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from o2v_jax.data.records import LabelValues
from o2v_jax.preparation.labels import MOST_CLASSES
from o2v_jax.preparation.settings import Side
from o2v_jax.preparation.skipped_rows import SkippedRows
from o2v_jax.preparation.split import SplitName


@dataclass
class SideCount:
    """Figures of one side of the records of one part.

    Attributes:
        tokens: before any is left out.
        known: those of them that the vocabulary has.
        longest: the longest sequence of ids.
        largest: the largest id.
        zero_inside: whether id 0 is before other ids.
    """

    tokens: int = 0
    known: int = 0
    longest: int = 0
    largest: int = 0
    zero_inside: bool = False


@dataclass
class SplitCount:
    """Figures of one part of the data.

    Attributes:
        records: how many there are.
        sides: figures of in0 and in1, hard negatives counted as in1.
        classes: the labels that occur, if they are few enough for classes.
        negatives: how many hard negatives there are.
        own: how many of them equal the in1 of their record, and so do not compete with it.
    """

    records: int
    sides: tuple[SideCount, SideCount]
    classes: set[float] = field(default_factory=set)
    negatives: int = 0
    own: int = 0

    def add_labels(self, labels: LabelValues) -> None:
        """Counts records by their labels."""
        self.records += len(labels)
        if len(self.classes) < MOST_CLASSES:
            self.classes.update(np.unique(labels)[:MOST_CLASSES].tolist())

    @classmethod
    def empty(cls) -> "SplitCount":
        """Figures of no records yet."""
        return cls(0, (SideCount(), SideCount()))


@dataclass(frozen=True)
class PreparationReport:
    """The result of a preparation.

    Attributes:
        parts: figures of each part that was written.
        sides: where in0 and in1 came from.
        vocab_sizes: of each side.
        labels: what the labels are.
        problems: the records that were left out, and remarks.
        negatives: the columns of hard negatives.
    """

    parts: Mapping[SplitName, SplitCount]
    sides: tuple[Side, Side]
    vocab_sizes: tuple[int, int]
    labels: str
    problems: SkippedRows
    negatives: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """All of it for a person, a line at a time."""
        yield ", ".join(f"{name} {part.records:,} records" for name, part in self.parts.items())
        for at, side in enumerate(self.sides):
            counts = {name: part.sides[at] for name, part in self.parts.items()}
            yield f"in{at}: {_describe_side(side, self.vocab_sizes[at], counts)}"
            if any(count.zero_inside for count in counts.values()):
                yield f"in{at}: id 0 is before other ids, but is padding and is ignored"
        yield from self._describe_negatives()
        yield f"labels: {self.labels}"
        if self.problems.count:
            yield f"left out {self.problems.count:,} records, such as:"
            yield from self.problems.listed
        yield from self.problems.remarks

    def _describe_negatives(self) -> Iterator[str]:
        if not self.negatives:
            return
        columns = ", ".join(map(repr, self.negatives))
        found = (f"{name} {part.negatives:,}" for name, part in self.parts.items())
        yield f"negatives: columns {columns}; {', '.join(found)}"
        if own := sum(part.own for part in self.parts.values()):
            yield f"negatives: {own:,} equal the in1 of their record, and do not compete with it"


def _describe_side(side: Side, size: int, counts: Mapping[SplitName, SideCount]) -> str:
    longest = max(count.longest for count in counts.values())
    text = f"{side.kind} of column {side.column!r}, longest {longest:,}, vocabulary {size:,} ids"
    if side.kind == "ids":
        return text
    shares = (f"{_format_share(count)} of {name}" for name, count in counts.items())
    return f"{text}, which cover {', '.join(shares)} tokens"


def _format_share(count: SideCount) -> str:
    """The share of known tokens, rounded down: 100 % means all."""
    return f"{int(1000 * count.known / max(count.tokens, 1)) / 10:.1f} %"
