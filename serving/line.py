"""Works that wait, in the order of arrival, and the batches that are formed of them."""

from collections import defaultdict, deque
from collections.abc import Collection
from typing import NamedTuple, TypeAlias

from o2v_jax.server.work import Chunk, Kind, Work

Part: TypeAlias = tuple[Work, Chunk]
Batch: TypeAlias = dict[Kind, list[Part]]

# Of a batch: one large request alone fills it, and two have half of it each. With fewer there is
# more padding (with 4, an hcnn took 1.14 times the tokens); with more, small requests wait longer.
SHARES = 16


class Waiting(NamedTuple):
    """What nobody has taken up: how many requests, of how many records."""

    requests: int
    records: int


class Line:
    """A queue whose works are taken up chunk by chunk. Not safe for threads.

    Args:
        share: tokens of the largest chunk; a batch has `SHARES` times as many, or a chunk more.

    Attributes:
        tokens: that wait; none if and only if there is no work.
    """

    def __init__(self, share: int) -> None:
        self._share, self._works, self.tokens = share, deque[Work](), 0

    @property
    def waiting(self) -> Waiting:
        """What nobody has taken up."""
        return Waiting(len(self._works), sum(work.waiting for work in self._works))

    def join(self, work: Work) -> None:
        """Puts work at the end. It has at least one record, which costs at least a token."""
        self._works.append(work)
        self.tokens += work.tokens

    def leave(self, works: Collection[Work]) -> None:
        """Takes works out, if they are in."""
        self._works = deque(work for work in self._works if work not in works)
        self.tokens = sum(work.tokens for work in self._works)

    def batch(self) -> Batch:
        """Takes up chunks of works in turns, until they are a batch or all."""
        batch: defaultdict[Kind, list[Part]] = defaultdict(list)
        room = SHARES * self._share
        while self._works and room > 0:
            work = self._works.popleft()
            chunk = work.take()
            batch[work.kind].append((work, chunk))
            room -= chunk.tokens
            self.tokens -= chunk.tokens
            if work.has_more:
                self._works.append(work)
        return batch
