"""Few pairs, which one program encodes and compares.

Otherwise a call for each batch of a side and one for the head follow each other, and each of them
waits for a device's threads to begin. Padded to one shape, few short pairs are scored in less than
half the time. What repeats among them is encoded each time.
"""

from bisect import bisect_left
from collections.abc import Sequence

from o2v_jax.data.ragged import Ragged
from o2v_jax.scoring.buckets import Shapes

RATIO, LENGTHS = 1.5, 5  # of a length to the next shorter one, at least; and how many, at most
# In calls, of both sides: what the tokens of a program cost at most, and the padding of a request.
# Two calls or more are saved.
LARGEST, PADDING = 4.0, 2.0


def few_shapes(usual: Sequence[Shapes], numbers: Sequence[int]) -> Shapes:
    """The shapes `[pairs, length]` of both sides' ids in these programs.

    Args:
        usual: of each side, whose lengths some of these are.
        numbers: of pairs, increasing; none where there should be no such programs.
    """
    lengths = _spread(sorted({length for table in usual for length in table.lengths}))
    ladders = [
        tuple(n for n in numbers if _calls(usual, n, length) <= LARGEST) for length in lengths
    ]
    kept = [(length, ladder) for length, ladder in zip(lengths, ladders, strict=True) if ladder]
    return Shapes(tuple(length for length, _ in kept), tuple(ladder for _, ladder in kept))


def few_shape(
    sides: Sequence[Ragged], usual: Sequence[Shapes], few: Shapes
) -> tuple[int, int] | None:
    """The one of `few` that these pairs are scored in; None if it would not be worth while."""
    pairs = len(sides[0])
    if not few.lengths or not 0 < pairs <= few.batches[0][-1]:
        return None
    rung = bisect_left(few.lengths, max(int(side.lengths.max()) for side in sides))
    ladder = few.batches[rung] if rung < len(few.lengths) else ()
    batch = next((number for number in ladder if number >= pairs), None)
    if batch is None:
        return None
    length = few.lengths[rung]
    tokens = sum(len(side.ids) / table.call for side, table in zip(sides, usual, strict=True))
    return (batch, length) if _calls(usual, batch, length) - tokens <= PADDING else None


def _calls(usual: Sequence[Shapes], batch: int, length: int) -> float:
    """What encoding both sides costs besides the call itself, in calls."""
    return sum(table.cost(batch, length) / table.call - 1 for table in usual)


def _spread(lengths: Sequence[int]) -> list[int]:
    """The shortest of those that differ enough from each other, the longest being one."""
    kept = [lengths[-1]]
    for length in reversed(lengths):
        if length * RATIO <= kept[-1]:
            kept.append(length)
    return kept[::-1][:LENGTHS]
