"""The padded shapes that a model is served with: one table, for warm-up and run time alike."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from o2v_jax.checkpoint import Model
from o2v_jax.data.ragged import Ragged
from o2v_jax.devices import require_devices
from o2v_jax.errors import LONGEST_REQUEST, InputError
from o2v_jax.hyperparameters import EncoderConfig, Hyperparameters
from o2v_jax.model import multiplications
from o2v_jax.scoring.buckets import Shapes, fitted_ladder, geometric_ladder, shapes

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


MOST_RUNGS = 32
HEAD_ROWS = 1024
FETCHED_ROWS = (1, 32, 1024)
FEW_SHARE = 5  # programs for few pairs are at most a fifth of all, or lengths go before them
FIRST_ROWS = 32  # rows of the larger of the two batches that are warm first


class Machine(NamedTuple):
    """What shapes a kind of device is served with.

    Attributes:
        tokens: padded tokens of the largest batch, by network.
        call: what a call costs, in multiplications.
        step: what a step of a recurrence costs besides its rows, in the time of one of these.
        table: numbers of all tables of encodings; the more, the fewer slices of records.
        lanes: in how many lanes it encodes at the same time; each has its part of the tables.
        base: the number of rows in a batch is a power of it.
        few: numbers of pairs that one program encodes and compares.
    """

    tokens: Mapping[str, int]
    call: float
    step: float
    table: int
    lanes: int
    base: int
    few: tuple[int, ...] = ()


# On a CPU what more tokens of an hcnn or bilstm give would not fit its caches, and a
# pooled_embedding's batch of fewer takes less time than its call, which is about 0.2 ms of a core.
CPU = Machine(
    {"hcnn": 2048, "bilstm": 4096, "pooled_embedding": 32768}, 4e7, 12, 2**23, 2, 2, (1, 4, 16)
)
# Measured on an H200 in float32, which does 25 million million multiplications a second: 0.12 ms a
# call, most of it on the host, and 9 us a step for rows of 0.5 million multiplications. Batches of
# a power of four and programs that take seconds to compile: few of them.
ACCELERATOR = Machine(
    {"hcnn": 65536, "bilstm": 65536, "pooled_embedding": 262144}, 3e9, 320, 2**25, 1, 4
)
Histograms = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Layout:
    """Shapes of the parts of the network.

    Attributes:
        towers: for each side the name of its tower; equal names share programs.
        usual: for each side the shapes up to its max_seq_len.
        encode: for each side the usual shapes and, above max_seq_len, those for longer
            `infer_max_seqlens`; these are compiled when first asked for.
        head: the batch sizes of pairs of encodings.
        rows: the batch sizes in which encodings are fetched.
        few: of both sides of few pairs, which one program encodes and compares.
        table_numbers: of all tables of encodings.
        lanes: how many of these there are.
    """

    towers: tuple[str, str]
    usual: tuple[Shapes, Shapes]
    encode: tuple[Shapes, Shapes]
    head: Shapes
    rows: Shapes
    few: Shapes
    table_numbers: int
    lanes: int

    def programs(self) -> list[tuple[str, int, int]]:
        """Keys (part, batch, length) of all programs that warm-up compiles, small ones first."""
        sides = zip(self.towers, self.usual, strict=True)
        keys = {(tower, *pair) for tower, table in sides for pair in table.pairs()}
        keys |= {("head", *pair) for pair in self.head.pairs()}
        keys |= {("rows", *pair) for pair in self.rows.pairs()}
        keys |= {("pairs", *pair) for pair in self.few.pairs()}
        return sorted(keys, key=lambda key: (key[1] * key[2], key))

    def first(self) -> "Layout":
        """A few shapes of this layout that every request fits, to be warm soon after the start."""
        usual = _first(self.usual[0], 1), _first(self.usual[1], 1)
        encode = [
            _first(every, len(every.lengths) - len(table.lengths) + 1)
            for table, every in zip(self.usual, self.encode, strict=True)
        ]
        head, rows = _first(self.head, 1), _first(self.rows, 1)
        both, none = (encode[0], encode[1]), few_shapes(usual, ())
        return replace(self, usual=usual, encode=both, head=head, rows=rows, few=none)

    def on_demand(self) -> list[tuple[str, int, int]]:
        """Keys of what only a long `infer_max_seqlens` or `rank` of given encodings asks for."""
        sides = zip(self.towers, self.encode, strict=True)
        keys = {(tower, *pair) for tower, table in sides for pair in table.pairs()}
        keys |= {("arrays", *pair) for pair in self.head.pairs()}
        return sorted(keys - set(self.programs()))


def machine_of(platform: str | None = None) -> Machine:
    """What devices of a kind are served with: "cpu" or "gpu" for instance; None: JAX's default."""
    return CPU if (platform or require_devices()) == "cpu" else ACCELERATOR


def layout_of(model: Model, *, machine: Machine | None = None, max_programs: int = 80) -> Layout:
    """The layout that a model is served with, by default on JAX's device; see `layout`."""
    machine = machine or machine_of()
    return layout(model.config, model.length_histogram, machine=machine, max_programs=max_programs)


def layout(
    config: Hyperparameters,
    histograms: Histograms | None = None,
    *,
    machine: Machine = CPU,
    max_programs: int = 80,
) -> Layout:
    """Chooses the shapes: as many rungs as `max_programs` allows, at most 32 a side.

    Two encoders of the same structure share a ladder and its programs. With the length histograms
    of the training data, int64 `[length]` counts a side, the ladder is the one that pads them
    least; without, it is geometric.

    Raises:
        InputError: `max_programs` is less than one rung a side needs.
    """
    for tried in (machine, machine._replace(few=())):
        found = _fitted(config, histograms, tried, max_programs)
        needed, few = len(found.programs()), len(found.few.pairs())
        if needed <= max_programs and FEW_SHARE * few <= max_programs:
            return found
    raise InputError(f"max_programs={max_programs} is too few: this model needs {needed}")


def _fitted(
    config: Hyperparameters, histograms: Histograms | None, machine: Machine, max_programs: int
) -> Layout:
    """The layout with as many rungs as there may be programs for, or else with one."""
    found, most = _layout(config, histograms, machine, 1), MOST_RUNGS
    fit = 1  # rungs; a ladder takes long to fit, so their number is halved and not counted down
    while fit < most:
        rungs = (fit + most + 1) // 2
        tried = _layout(config, histograms, machine, rungs)
        if len(tried.programs()) <= max_programs:
            found, fit = tried, rungs
        else:
            most = rungs - 1
    return found


def _layout(
    config: Hyperparameters,
    histograms: Histograms | None,
    machine: Machine,
    rungs: int,
) -> Layout:
    enc0, enc1 = config.encoder(0), config.encoder(1)
    if structure(enc0) == structure(enc1):
        longest = max(enc0.max_seq_len, enc1.max_seq_len)
        ladder = _ladder(None if histograms is None else _sum(*histograms), longest, rungs)
        both = (_shapes(enc0, ladder, machine),) * 2
        towers = "encoder", "encoder"
    else:
        known = histograms or (None, None)
        sides = zip(known, (enc0, enc1), strict=True)
        one, two = (_ladder(counts, encoder.max_seq_len, rungs) for counts, encoder in sides)
        both = _shapes(enc0, one, machine), _shapes(enc1, two, machine)
        towers = "encoder0", "encoder1"
    usual, encode = (both[0][0], both[1][0]), (both[0][1], both[1][1])
    few = few_shapes(usual, machine.few)
    head, rows = shapes((1,), HEAD_ROWS, base=machine.base), Shapes((1,), (FETCHED_ROWS,))
    return Layout(towers, usual, encode, head, rows, few, machine.table, machine.lanes)


def _shapes(
    encoder: EncoderConfig, ladder: tuple[int, ...], machine: Machine
) -> tuple[Shapes, Shapes]:
    """The usual shapes, and with them those for longer sequences."""
    tokens, call = machine.tokens[encoder.network], machine.call / multiplications(encoder)
    step = machine.step if encoder.network == "bilstm" else 0.0
    rows = max(1, machine.table // 2 // encoder.enc_dim)  # a batch of each side fits
    usual, every = (
        shapes(lengths, tokens, call, step, machine.base, rows)
        for lengths in (ladder, _beyond(ladder))
    )
    return usual, every


def _first(table: Shapes, rungs: int) -> Shapes:
    """The longest rungs, each with a batch of one and one of a few rows."""
    batches = tuple(
        (1, max(b for b in ladder if b <= FIRST_ROWS)) for ladder in table.batches[-rungs:]
    )
    return replace(
        table,
        lengths=table.lengths[-rungs:],
        batches=tuple(tuple(sorted(set(sizes))) for sizes in batches),
    )


def structure(encoder: EncoderConfig) -> EncoderConfig:
    """What decides an encoder's compiled program, with everything else set to 1 or 0."""
    width = encoder.cnn_filter_width if encoder.network == "hcnn" else 1
    return replace(encoder, max_seq_len=1, dropout=0.0, cnn_filter_width=width)


def _ladder(counts: npt.NDArray[np.int64] | None, longest: int, rungs: int) -> tuple[int, ...]:
    if counts is None or not counts.any():
        return geometric_ladder(longest, rungs)
    return fitted_ladder(counts, longest, rungs)


@lru_cache(maxsize=64)
def _beyond(ladder: tuple[int, ...]) -> tuple[int, ...]:
    """The ladder carried on by doubling up to the longest sequence a request may ask for."""
    longer, at = list(ladder), ladder[-1]
    while at < LONGEST_REQUEST:
        at = min(2 * at, LONGEST_REQUEST)
        longer.append(at)
    return tuple(longer)


def _sum(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    total = np.zeros(max(len(a), len(b)), np.int64)
    total[: len(a)] += a
    total[: len(b)] += b
    return total
