"""What hosts agree on while they train, when to save and when to stop; what the first one tells."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import numpy.typing as npt
from jax.experimental.multihost_utils import broadcast_one_to_all
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from o2v_jax.errors import InputError
from o2v_jax.training.loop.hosts import Hosts

BEHIND = 2  # batches between a vote and its outcome, so that nobody waits for it
PIECE = 2**26  # bytes that are told at once


class Votes:
    """One vote of every host a batch; the greatest counts.

    A vote is cast among the steps, without waiting for any, and its outcome is read `BEHIND`
    batches later. Every host reads the same outcome before the same batch.
    """

    def __init__(self, hosts: Hosts, devices: Sequence[jax.Device]) -> None:
        self._alone, self._cast = hosts.alone, deque[jax.Array]()
        if not self._alone:
            # those of the steps: XLA then runs votes and steps in one order on every host, which
            # processors need, for they could else wait for one another's with all their threads
            self._mesh = Mesh(np.array(devices), ("devices",))
            self._max = jax.jit(jnp.max, out_shardings=NamedSharding(self._mesh, P()))

    def outcome(self, vote: int) -> int:
        """Casts this host's vote and returns the outcome of an earlier one; alone, that of now."""
        if self._alone:
            return vote
        self._cast.append(self._greatest(vote))
        if len(self._cast) <= BEHIND:
            return 0
        return int(self._cast.popleft().addressable_data(0))

    def _greatest(self, vote: int) -> jax.Array:
        own = np.array([vote], np.int32)
        shape, by_device = (self._mesh.size,), NamedSharding(self._mesh, P("devices"))
        votes = jax.make_array_from_callback(shape, by_device, lambda _: own)
        greatest: jax.Array = self._max(votes)
        return greatest


def told(hosts: Hosts, value: Any) -> Any:
    """The first host's value, something that JSON can say, on every host."""
    if hosts.alone:
        return value
    data = np.frombuffer(msgspec.json.encode(value), np.uint8)
    size = int(broadcast_one_to_all(np.int32(len(data)), hosts.first))
    data = _told(hosts, data if hosts.first else np.zeros(size, np.uint8))
    return msgspec.json.decode(data.tobytes())


def told_arrays(hosts: Hosts, tree: Any) -> Any:
    """The first host's arrays on every host; the others give arrays of the same shapes."""
    return jax.tree.map(lambda leaf: _told_array(hosts, leaf), tree)


def require_same(hosts: Hosts, run: Mapping[str, str]) -> None:
    """Checks that this host has the hyperparameters, data and seed of the first one.

    Raises:
        InputError: something differs.
    """
    first = told(hosts, dict(run))
    other = [name for name in run | first if run.get(name) != first.get(name)]
    if other:
        raise InputError(
            f"{', '.join(other[:3])}: {hosts.name} and {hosts.names[0]} differ, but every host "
            "needs the same files (in SageMaker the distribution FullyReplicated) and settings"
        )


def _told_array(hosts: Hosts, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return _told(hosts, data).view(array.dtype).reshape(array.shape)


def _told(hosts: Hosts, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Bytes, in pieces that any device has room for."""
    whole = np.empty_like(data)
    for start in range(0, len(data), PIECE):
        piece = data[start : start + PIECE]
        whole[start : start + PIECE] = broadcast_one_to_all(piece, hosts.first)
    return whole
