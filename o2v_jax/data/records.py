"""What records are, once read: ragged arrays, and where each record stood."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from o2v_jax.data.ragged import Index, Ragged


class Format(StrEnum):
    """The two formats of requests and answers, by their media types."""

    JSON = "application/json"
    JSON_LINES = "application/jsonlines"


@dataclass(frozen=True, eq=False)
class Places:
    """Where records stood: in a JSON document, or in lines (of a file).

    Attributes:
        name: the file's name, if it is one.
        lines: int64 `[records]`, line numbers from 1; None for a JSON document.
    """

    name: str | None = None
    lines: Index | None = None

    def of(self, record: int, path: str = "") -> str:
        """The place of something in a record, e.g. `of(3, ".in0[7]")`."""
        if self.lines is None:
            return f"$.instances[{record}]{path}"
        return f"{at_line(self.name, int(self.lines[record]))} ${path}"


@dataclass(frozen=True, eq=False)
class Records:
    """Validated records, in their order.

    Attributes:
        in0: the in0 sides that are present, `[has0.sum()]` rows.
        in1: the in1 sides that are present, `[has1.sum()]` rows.
        has0: bool `[records]`, which records give in0.
        has1: bool `[records]`, which records give in1.
        labels: float64 `[records]`, or None where labels were not asked for.
        places: where each record stood, for messages about it.
    """

    in0: Ragged
    in1: Ragged
    has0: npt.NDArray[np.bool_]
    has1: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.float64] | None
    places: Places

    def __len__(self) -> int:
        return len(self.has0)

    @cached_property
    def paired(self) -> bool:
        """Whether every record gives both sides (true of no records): scores are wanted."""
        return len(self.in0) == len(self.in1) == len(self)  # each side has those that are present


def at_line(name: str | None, number: int) -> str:
    """A line of a request's body, or of the named file."""
    return f"line {number}" if name is None else f"{name}:{number}"
