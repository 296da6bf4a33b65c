"""What hosts agree on while they train, when to save and when to stop; what the first one sends."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import numpy.typing as npt
from jax.experimental.multihost_utils import broadcast_one_to_all
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

DELAY = 2  # batches between a proposal and its outcome, so that nobody waits for it
PIECE = 2**26  # bytes that are sent at once


class Agreement:
    """One proposal of every host a batch; the greatest counts.

    A proposal is made among the steps, without waiting for any, and its outcome is read `DELAY`
    batches later. Every host reads the same outcome before the same batch.

    JAX's own `reached_preemption_sync_point` knows SIGTERM alone, and neither Ctrl-C nor that the
    first host's clock asks to save. `process_allgather` waits for every step before.
    """

    def __init__(self, devices: Sequence[jax.Device]) -> None:
        self._alone, self._proposals = jax.process_count() == 1, deque[jax.Array]()
        if not self._alone:
            # those of the steps: XLA then runs proposals and steps in one order on every host,
            # which processors need, for they could else wait for each other with all their threads
            self._mesh = Mesh(np.array(devices), ("devices",))
            self._max = jax.jit(jnp.max, out_shardings=NamedSharding(self._mesh, P()))

    def propose(self, value: int) -> int:
        """Makes this host's proposal; returns the outcome of an earlier one (alone, of this)."""
        if self._alone:
            return value
        self._proposals.append(self._reduce(value))
        if len(self._proposals) <= DELAY:
            return 0
        return int(self._proposals.popleft().addressable_data(0))

    def _reduce(self, value: int) -> jax.Array:
        own = np.array([value], np.int32)
        shape, by_device = (self._mesh.size,), NamedSharding(self._mesh, P("devices"))
        values = jax.make_array_from_callback(shape, by_device, lambda _: own)
        greatest: jax.Array = self._max(values)
        return greatest


def broadcast(value: Any) -> Any:
    """The first host's value, which JSON can hold, on every host."""
    if jax.process_count() == 1:
        return value
    first = jax.process_index() == 0
    data = np.frombuffer(msgspec.json.encode(value), np.uint8)
    size = int(broadcast_one_to_all(np.int32(len(data))))
    data = _broadcast_bytes(data if first else np.zeros(size, np.uint8))
    return msgspec.json.decode(data.tobytes())


def broadcast_arrays(tree: Any) -> Any:
    """The first host's arrays on every host; the others give arrays of the same shapes."""
    return jax.tree.map(_broadcast_array, tree)


def _broadcast_array(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return _broadcast_bytes(data).view(array.dtype).reshape(array.shape)


def _broadcast_bytes(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """In pieces that any device has room for."""
    whole = np.empty_like(data)
    for start in range(0, len(data), PIECE):
        whole[start : start + PIECE] = broadcast_one_to_all(data[start : start + PIECE])
    return whole
