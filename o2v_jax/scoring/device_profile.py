"""Device profiles: every tuned constant of scoring and batching, and where it was measured."""

from collections.abc import Mapping
from typing import NamedTuple

from o2v_jax.constants import DType
from o2v_jax.devices import require_devices
from o2v_jax.model.ops.winograd import MIN_FAN
from o2v_jax.scoring.folding import ConvolutionMethod


class DeviceProfile(NamedTuple):
    """What scoring and batching are tuned to on one kind of device.

    `profile._replace(streams=1)` gives a changed copy.

    Attributes:
        max_tokens: padded tokens of the largest batch, by network.
        call_cost: what a program call costs, in multiplications of an encoder.
        step_cost: what a step of a recurrence costs besides its rows, in the time of one row.
        table_numbers: float32 numbers in all tables of encodings; the more, the fewer slices a
            large call is cut into.
        streams: how many batches are encoded at a time; each stream has its part of the tables.
        stream_threads: whether each stream but the first starts its programs in a thread of its
            own. A server has calls at the same time instead.
        batch_base: batch sizes are powers of it.
        convolutions: how folded hcnn layers are convolved, by dtype.
        fused_batches: numbers of pairs that one program encodes and compares; none: no such
            programs.
        fused_length_ratio: between neighbouring lengths of the fused programs, at least.
        max_fused_lengths: lengths of the fused programs.
        max_fused_cost: tokens of a fused program for both sides, in calls. It saves two calls.
        max_fused_padding: padding of a request in a fused program, likewise.
        fused_share: fused programs are at most one in so many; beyond, they are left out.
        max_buckets: length buckets a side.
        head_batch: pairs in the largest batch of the head.
        head_call_cost: what a call of the head costs, in pairs.
        fetch_batches: batch sizes in which encodings are fetched.
        first_batch: rows of the larger of the two batches that are warm first.
        stream_start_cost: what it costs to use another stream than the first, in calls.
        max_in_flight: results that are started before the first is fetched.
        max_folded_bytes: of both sides' folded token tables; larger ones are not folded.
        winograd_min_fan: width times channels of the smallest kernel for Winograd convolution.
        chunks_per_batch: of a server's batch, each as large as the largest program's batch.
        backlog_chunks: queued chunks that are worth a second batch while the device is busy.
    """

    max_tokens: Mapping[str, int]
    call_cost: float
    step_cost: float
    table_numbers: int
    streams: int
    batch_base: int
    convolutions: Mapping[DType, ConvolutionMethod]
    stream_threads: bool = True
    fused_batches: tuple[int, ...] = ()
    fused_length_ratio: float = 1.5
    max_fused_lengths: int = 5
    max_fused_cost: float = 4.0
    max_fused_padding: float = 2.0
    fused_share: int = 5
    max_buckets: int = 32
    head_batch: int = 1024
    head_call_cost: float = 64.0
    fetch_batches: tuple[int, ...] = (1, 32, 1024)
    first_batch: int = 32
    # with two streams from the start, 8 to 16 pairs of the demonstration model took 0.1 ms longer:
    # threads wait for each other
    stream_start_cost: float = 3.0
    # enough to keep a device busy; more would only hold more results in memory
    max_in_flight: int = 8
    max_folded_bytes: int = 2**29
    winograd_min_fan: int = MIN_FAN
    # One large request alone fills a batch, and two have half of it each. With fewer there is more
    # padding (with 4, an hcnn took 1.14 times the tokens); with more, small requests wait longer.
    chunks_per_batch: int = 16
    backlog_chunks: int = 4


# Measured on two cores. What more tokens of an hcnn or bilstm give would not fit the caches, and a
# pooled_embedding's batch of fewer takes less time than its call, which is about 0.2 ms of a core.
CPU = DeviceProfile(
    max_tokens={"hcnn": 2048, "bilstm": 4096, "pooled_embedding": 32768},
    call_cost=4e7,
    step_cost=12,
    table_numbers=2**23,
    streams=2,
    batch_base=2,
    convolutions={"float32": "winograd", "tensorfloat32": "winograd", "bfloat16": "direct"},
    fused_batches=(1, 4, 16),
)
# Measured on an H200 in float32, which does 25e12 multiply-adds a second: 0.12 ms a
# call, most of it on the host, and 9 us a step for rows of 0.5 million multiplications. Programs
# take seconds to compile, so batches are powers of four. One matrix product of all windows is
# faster than XLA's convolution in float32; in TF32 the products take less time than what lies
# between them.
ACCELERATOR = DeviceProfile(
    max_tokens={"hcnn": 65536, "bilstm": 65536, "pooled_embedding": 262144},
    call_cost=3e9,
    step_cost=320,
    table_numbers=2**25,
    streams=1,
    batch_base=4,
    convolutions={"float32": "windows", "tensorfloat32": "direct", "bfloat16": "direct"},
)


def get_device_profile(platform: str | None = None) -> DeviceProfile:
    """The profile of a kind of device, "cpu" or "gpu" for instance; None: JAX's default.

    Raises:
        InputError: JAX finds no device.
    """
    return CPU if (platform or require_devices()) == "cpu" else ACCELERATOR
