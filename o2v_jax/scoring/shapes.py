"""The padded shapes that a model is served with: one table, for warm-up and run time alike."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from o2v_jax.checkpoint import Model
from o2v_jax.constants import LONGEST_REQUEST
from o2v_jax.data.ragged import Ragged
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import EncoderConfig, Hyperparameters
from o2v_jax.model import count_multiplications
from o2v_jax.scoring.buckets import (
    BucketTable,
    fit_boundaries,
    make_bucket_table,
    make_geometric_boundaries,
)
from o2v_jax.scoring.device_profile import CPU, DeviceProfile, get_device_profile
from o2v_jax.scoring.programs import ProgramKey

Histograms = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class ShapeTable:
    """Shapes of the parts of the network.

    Attributes:
        encoder_names: of each side; equal names share programs.
        usual: for each side the shapes up to its max_seq_len.
        extended: for each side the usual shapes and, above max_seq_len, those for longer
            `infer_max_seqlens`; these are compiled when first asked for.
        head: the batch sizes of pairs of encodings.
        fetch: the batch sizes in which encodings are fetched.
        fused: of the programs that encode and compare a few short pairs at once.
        profile: of the device that all this was chosen for.
    """

    encoder_names: tuple[str, str]
    usual: tuple[BucketTable, BucketTable]
    extended: tuple[BucketTable, BucketTable]
    head: BucketTable
    fetch: BucketTable
    fused: BucketTable
    profile: DeviceProfile

    @property
    def largest_batch_tokens(self) -> int:
        """Padded tokens of the largest batch that an encoder's program takes."""
        return max(batch * length for table in self.usual for batch, length in table.shapes())

    def list_programs(self) -> list[ProgramKey]:
        """Keys (part, batch, length) of all programs that warm-up compiles, small ones first."""
        keys = self._list_encoder_keys(self.usual)
        keys |= {("head", *shape) for shape in self.head.shapes()}
        keys |= {("rows", *shape) for shape in self.fetch.shapes()}
        keys |= {("pairs", *shape) for shape in self.fused.shapes()}
        return sorted(keys, key=lambda key: (key[1] * key[2], key))

    def list_on_demand(self) -> list[ProgramKey]:
        """Keys of what only a long `infer_max_seqlens` or `rank` of given encodings asks for."""
        keys = self._list_encoder_keys(self.extended)
        keys |= {("arrays", *shape) for shape in self.head.shapes()}
        return sorted(keys - set(self.list_programs()))

    def make_first(self) -> "ShapeTable":
        """Some of these shapes, which every request fits, to be warm soon after the start."""
        most = self.profile.first_batch
        usual0, usual1 = (_keep_last(table, 1, most) for table in self.usual)
        extended0, extended1 = (
            _keep_last(every, len(every.lengths) - len(table.lengths) + 1, most)
            for table, every in zip(self.usual, self.extended, strict=True)
        )
        return replace(
            self,
            usual=(usual0, usual1),
            extended=(extended0, extended1),
            head=_keep_last(self.head, 1, most),
            fetch=_keep_last(self.fetch, 1, most),
            fused=BucketTable((), ()),
        )

    def _list_encoder_keys(self, tables: tuple[BucketTable, BucketTable]) -> set[ProgramKey]:
        sides = zip(self.encoder_names, tables, strict=True)
        return {(name, *shape) for name, table in sides for shape in table.shapes()}


def choose_model_shapes(
    model: Model, *, profile: DeviceProfile | None = None, max_programs: int = 80
) -> ShapeTable:
    """The shapes that a model is served with, by default on JAX's device; see `choose_shapes`."""
    profile = profile or get_device_profile()
    histograms = model.length_histogram
    return choose_shapes(model.config, histograms, profile=profile, max_programs=max_programs)


def choose_shapes(
    config: Hyperparameters,
    histograms: Histograms | None = None,
    *,
    profile: DeviceProfile = CPU,
    max_programs: int = 80,
) -> ShapeTable:
    """Chooses the shapes: as many buckets as `max_programs` allows.

    Two encoders of the same structure share buckets and programs. With the length histograms of
    the training data, int64 `[length]` counts a side, the boundaries are those that pad them least;
    without, they are geometric.

    Raises:
        InputError: `max_programs` is less than one bucket a side needs.
    """
    for tried in (profile, profile._replace(fused_batches=())):
        found = _fit(config, histograms, tried, max_programs)
        needed = len(found.list_programs())
        fused = len(found.fused.shapes())
        if needed <= max_programs and profile.fused_share * fused <= max_programs:
            return found
    raise InputError(f"max_programs={max_programs} is too few: this model needs {needed}")


def _fit(
    config: Hyperparameters,
    histograms: Histograms | None,
    profile: DeviceProfile,
    max_programs: int,
) -> ShapeTable:
    """The table with as many buckets as there may be programs for, or else with one."""
    found, fit = _make_table(config, histograms, profile, 1), 1
    most = profile.max_buckets
    while fit < most:  # boundaries take long to fit: the number is halved and not counted down
        buckets = (fit + most + 1) // 2
        tried = _make_table(config, histograms, profile, buckets)
        if len(tried.list_programs()) <= max_programs:
            found, fit = tried, buckets
        else:
            most = buckets - 1
    return found


def _make_table(
    config: Hyperparameters,
    histograms: Histograms | None,
    profile: DeviceProfile,
    buckets: int,
) -> ShapeTable:
    enc0, enc1 = config.encoder(0), config.encoder(1)
    if keep_structure(enc0) == keep_structure(enc1):
        longest = max(enc0.max_seq_len, enc1.max_seq_len)
        counts = None if histograms is None else _add_histograms(*histograms)
        both = (_make_side(enc0, _choose_boundaries(counts, longest, buckets), profile),) * 2
        names = "encoder", "encoder"
    else:
        counts0, counts1 = histograms or (None, None)
        boundaries0 = _choose_boundaries(counts0, enc0.max_seq_len, buckets)
        boundaries1 = _choose_boundaries(counts1, enc1.max_seq_len, buckets)
        both = _make_side(enc0, boundaries0, profile), _make_side(enc1, boundaries1, profile)
        names = "encoder0", "encoder1"
    usual, extended = (both[0][0], both[1][0]), (both[0][1], both[1][1])
    head_batch, head_call = profile.head_batch, profile.head_call_cost
    return ShapeTable(
        encoder_names=names,
        usual=usual,
        extended=extended,
        head=make_bucket_table((1,), head_batch, head_call, base=profile.batch_base),
        fetch=BucketTable((1,), (profile.fetch_batches,), head_call),
        fused=make_fused_table(usual, profile),
        profile=profile,
    )


def _make_side(
    encoder: EncoderConfig, boundaries: tuple[int, ...], profile: DeviceProfile
) -> tuple[BucketTable, BucketTable]:
    """The usual shapes, and with them those for longer sequences."""
    max_tokens = profile.max_tokens[encoder.network]
    call_cost = profile.call_cost / count_multiplications(encoder)
    step_cost = profile.step_cost if encoder.network == "bilstm" else 0.0
    max_rows = max(1, profile.table_numbers // 2 // encoder.enc_dim)  # a batch of each side fits
    usual, extended = (
        make_bucket_table(lengths, max_tokens, call_cost, step_cost, profile.batch_base, max_rows)
        for lengths in (boundaries, _extend(boundaries))
    )
    return usual, extended


def make_fused_table(usual: Sequence[BucketTable], profile: DeviceProfile) -> BucketTable:
    """The shapes `[pairs, length]` of both sides' ids in the fused programs.

    Args:
        usual: shapes of each side; the lengths are chosen among theirs.
        profile: its `fused_batches` are the numbers of pairs, as far as they are worth a program.
    """
    every = sorted({length for table in usual for length in table.lengths})
    sizes = {
        length: tuple(
            batch
            for batch in profile.fused_batches
            if _count_extra_calls(usual, batch, length) <= profile.max_fused_cost
        )
        for length in _spread(every, profile)
    }
    kept = {length: batches for length, batches in sizes.items() if batches}
    return BucketTable(tuple(kept), tuple(kept.values()))


def find_fused_shape(sides: Sequence[Ragged], shapes: ShapeTable) -> tuple[int, int] | None:
    """The shape of the fused program for these pairs; None if none fits or saves anything."""
    fused, usual, pairs = shapes.fused, shapes.extended, len(sides[0])
    if not fused.lengths or not 0 < pairs <= fused.batch_sizes[0][-1]:
        return None
    bucket = bisect_left(fused.lengths, max(int(side.lengths.max()) for side in sides))
    sizes = fused.batch_sizes[bucket] if bucket < len(fused.lengths) else ()
    batch = next((number for number in sizes if number >= pairs), None)
    if batch is None:
        return None
    length = fused.lengths[bucket]
    tokens = sum(len(side.ids) / table.call_cost for side, table in zip(sides, usual, strict=True))
    padding = _count_extra_calls(usual, batch, length) - tokens
    return (batch, length) if padding <= shapes.profile.max_fused_padding else None


def _count_extra_calls(usual: Sequence[BucketTable], batch: int, length: int) -> float:
    """What encoding both sides costs besides the call itself, in calls."""
    return sum(table.cost(batch, length) / table.call_cost - 1 for table in usual)


def _spread(lengths: Sequence[int], profile: DeviceProfile) -> list[int]:
    """The shortest of those that differ enough from each other, the longest being one."""
    kept = [lengths[-1]]
    for length in reversed(lengths):
        if length * profile.fused_length_ratio <= kept[-1]:
            kept.append(length)
    return kept[::-1][: profile.max_fused_lengths]


def _keep_last(table: BucketTable, buckets: int, most: int) -> BucketTable:
    """The longest buckets, each with a batch of one and its largest of at most so many rows."""
    batch_sizes = tuple(
        tuple(sorted({1, max(batch for batch in sizes if batch <= most)}))
        for sizes in table.batch_sizes[-buckets:]
    )
    return replace(table, lengths=table.lengths[-buckets:], batch_sizes=batch_sizes)


def keep_structure(encoder: EncoderConfig) -> EncoderConfig:
    """What decides an encoder's compiled program, with everything else set to 1 or 0."""
    width = encoder.cnn_filter_width if encoder.network == "hcnn" else 1
    return replace(encoder, max_seq_len=1, dropout=0.0, cnn_filter_width=width)


def _choose_boundaries(
    counts: npt.NDArray[np.int64] | None, longest: int, buckets: int
) -> tuple[int, ...]:
    if counts is None or not counts.any():
        return make_geometric_boundaries(longest, buckets)
    return fit_boundaries(counts, longest, buckets)


@lru_cache(maxsize=64)
def _extend(boundaries: tuple[int, ...]) -> tuple[int, ...]:
    """The lengths carried on by doubling up to the longest sequence that a request may ask for."""
    longer, at = list(boundaries), boundaries[-1]
    while at < LONGEST_REQUEST:
        at = min(2 * at, LONGEST_REQUEST)
        longer.append(at)
    return tuple(longer)


def _add_histograms(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    total = np.zeros(max(len(a), len(b)), np.int64)
    total[: len(a)] += a
    total[: len(b)] += b
    return total
