"""What to do about a record that cannot be used: stop at it, or leave it out and count it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from o2v_jax.errors import RecordError

LISTED_ROWS = 5

# row of a chunk -> what is wrong with it
Faults: TypeAlias = Mapping[int, str]


@dataclass
class SkippedRows:
    """Records that were left out.

    Attributes:
        skip: whether to leave bad records out; otherwise the first one is an error.
        count: how many were left out.
        listed: what was wrong with the first of them.
        remarks: what may be a mistake of the caller's, though nothing is left out for it.
    """

    skip: bool = False
    count: int = 0
    listed: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def report(self, where: str, reason: str) -> None:
        """Counts a bad record.

        Raises:
            RecordError: bad records are not to be skipped.
        """
        error = RecordError(where, reason)
        if not self.skip:
            raise error
        self.count += 1
        if len(self.listed) < LISTED_ROWS:
            self.listed.append(str(error))

    def remark(self, text: str) -> None:
        """Keeps something to say to the caller at the end."""
        if len(self.remarks) < LISTED_ROWS:
            self.remarks.append(text)
